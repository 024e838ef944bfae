// The program outside serves the simulated outside services on three ports in a row, for providers.sh.
package main

import (
	"flag"
	"log"
	"net/http"
	"strconv"
	"time"

	"github.com/warmlane/warmlane/bench/outside"
)

func main() {
	port := flag.Int("port", 28100, "first of three ports: Anthropic, Gemini, Bedrock")
	flag.Parse()
	failed := make(chan error)
	for i, h := range []http.Handler{
		&outside.Anthropic{Key: "sk-ant-test"},
		&outside.Gemini{Key: "gemini-test"},
		&outside.Bedrock{KeyID: "AKIDTEST", Secret: "secret/test", Region: "eu-west-1"},
	} {
		s := &http.Server{Addr: "127.0.0.1:" + strconv.Itoa(*port+i), Handler: h, ReadHeaderTimeout: time.Minute}
		go func() { failed <- s.ListenAndServe() }()
	}
	log.Fatal(<-failed)
}
