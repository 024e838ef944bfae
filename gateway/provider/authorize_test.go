package provider

import (
	"strings"
	"testing"
	"time"
)

// The signatures are those that botocore 1.44.8 (auth.SigV4Auth) makes of the same request at the same time.
func TestAuthorize_BedrockSignsAsBotocoreDoes(t *testing.T) {
	b := translator(t, "bedrock")
	c := &Call{
		Method: "POST", Path: "/model/eu.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream", Header: []byte(jsonHeader),
		Body: []byte(`{"messages":[]}`),
	}
	const id, secret = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	f := func(key, token, signed, signature string) {
		t.Helper()
		got, err := b.Authorize(c, "bedrock-runtime.eu-west-1.amazonaws.com", key, time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC))
		if err != nil {
			t.Fatal(err)
		}
		want := "X-Amz-Date: 20261130T120000Z\r\n" + token + "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261130/eu-west-1/bedrock/aws4_request, " +
			"SignedHeaders=" + signed + ", Signature=" + signature + "\r\n"
		if string(got) != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	f(id+":"+secret, "", "content-type;host;x-amz-date", "2f2ad2946a76e3f92e3d55205f1ec81ad25b720fe28500ccf84a394e381b73b3")
	f(id+":"+secret+":token/with+stuff==", "X-Amz-Security-Token: token/with+stuff==\r\n", "content-type;host;x-amz-date;x-amz-security-token",
		"00ba814dd31b3a6fb9aeb10372f40e16ea255feb6040926fb792290b0898339f")
}

func TestAuthorize_Keys(t *testing.T) {
	f := func(kind, key, want string) {
		t.Helper()
		got, err := translator(t, kind).Authorize(&Call{Method: "POST", Path: "/"}, "host", key, time.Time{})
		if want == "" {
			if err == nil {
				t.Errorf("%s takes the key %q", kind, key)
			} else if strings.Contains(err.Error(), "abc") {
				t.Errorf("the error quotes the key: %v", err)
			}
			return
		}
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", kind, got, err, want)
		}
	}
	f("anthropic", "sk-ant-abc", "x-api-key: sk-ant-abc\r\n")
	f("gemini", "AIzaabc", "x-goog-api-key: AIzaabc\r\n")
	f("bedrock", "ABSKabc=", "Authorization: Bearer ABSKabc=\r\n")
	f("anthropic", "abc\r\nX-Evil: 1", "")
	f("bedrock", "id:secret:abc\nX-Evil", "")
}

func TestBase_BedrockIsFoundByItsRegion(t *testing.T) {
	base, ok := KindOf("bedrock").Base("ap-southeast-2")
	if !ok || base != "https://bedrock-runtime.ap-southeast-2.amazonaws.com" {
		t.Errorf("%q, %v", base, ok)
	}
	if base, ok := KindOf("bedrock").Base(""); ok {
		t.Errorf("without a region: %q", base)
	}
}
