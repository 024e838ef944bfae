package upstream

import (
	"net/http"
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway/failure"
)

// An engine behind a front end may tell by a date when to come back.
func TestJudge_RetryAfterAsDate(t *testing.T) {
	date := time.Now().Add(30 * time.Second).UTC().Format(http.TimeFormat)
	e := judge(503, []byte(date), nil)
	if e.Kind != failure.EngineRefused || e.RetryAfter < 25*time.Second || e.RetryAfter > 30*time.Second {
		t.Errorf("%s: %v after %v", date, e.Kind, e.RetryAfter)
	}
}
