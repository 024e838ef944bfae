package failure_test

import (
	"testing"

	"github.com/warmlane/warmlane/gateway/failure"
)

func TestTable_EveryKindIsFilled(t *testing.T) {
	seen := map[string]failure.Kind{}
	for _, k := range failure.Kinds() {
		e := k.Entry()
		if e.Label == "" || e.Status < 400 {
			t.Errorf("kind %d has no line in the table: %+v", k, e)
		}
		if k != failure.ClientGone && k != failure.ClientStalled && (e.Type == "" || e.Code == "") {
			t.Errorf("%s: a client would see no type or code: %+v", k, e)
		}
		if other, dup := seen[e.Label]; dup {
			t.Errorf("label %q stands for both %d and %d", e.Label, other, k)
		}
		seen[e.Label] = k
	}
	if got := failure.Kind(255).Entry().Label; got != "internal" {
		t.Errorf("an unknown kind is %q, want internal", got)
	}
}

func TestTable_NothingIsRetriedAfterTheFirstEvent(t *testing.T) {
	for _, k := range []failure.Kind{
		failure.StreamCut, failure.StreamIncomplete, failure.StreamStalled, failure.EngineDead,
		failure.EngineStreamError, failure.ClientGone, failure.ClientStalled, failure.BadRequest,
	} {
		if k.Entry().Retry != failure.RetryNever {
			t.Errorf("%s may be retried", k)
		}
	}
}

func TestError_StatusAndCause(t *testing.T) {
	e := failure.Bad("model", "%q is not a string", "x")
	if e.HTTPStatus() != 400 || e.Param != "model" {
		t.Errorf("Bad = %+v", e)
	}
	e.Status = 422
	if e.HTTPStatus() != 422 {
		t.Errorf("own status is ignored: %d", e.HTTPStatus())
	}
}
