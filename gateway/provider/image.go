package provider

import (
	"encoding/base64"
	"mime"
	"path"
	"strings"

	"github.com/warmlane/warmlane/gateway/failure"
)

// image is a picture in a message: its bytes, or where it is found. The gateway itself fetches nothing.
type image struct {
	mediaType string // image/...; of a URL a guess by its ending
	data      string // base64, "" if url is set
	url       string
}

// readImage takes a data: URL with base64, or an https:, http:, s3: or gs: URL.
func readImage(url, at string) (*image, *failure.Error) {
	scheme, rest, _ := strings.Cut(url, ":")
	switch strings.ToLower(scheme) {
	case "data":
		head, data, found := strings.Cut(rest, ",")
		kind, encoded := strings.CutSuffix(head, ";base64")
		mediaType, _, err := mime.ParseMediaType(kind)
		if !found || !encoded || err != nil || !strings.HasPrefix(mediaType, "image/") {
			return nil, failure.Bad(at, "%s must be data:image/TYPE;base64,DATA.", at)
		}
		if _, err := base64.StdEncoding.DecodeString(data); err != nil {
			return nil, failure.Bad(at, "The data of %s is no base64.", at).Because(err)
		}
		if mediaType == "image/jpg" {
			mediaType = "image/jpeg"
		}
		return &image{mediaType: mediaType, data: data}, nil
	case "https", "http", "s3", "gs":
		return &image{mediaType: guessType(url), url: url}, nil
	}
	return nil, failure.Bad(at, "%s must be a data: or https: URL.", at)
}

// imageTypes are the types that providers take, by the ending of a name.
var imageTypes = map[string]string{
	".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp",
}

func guessType(url string) string {
	name, _, _ := strings.Cut(url, "?")
	if t := imageTypes[strings.ToLower(path.Ext(name))]; t != "" {
		return t
	}
	return "image/jpeg"
}
