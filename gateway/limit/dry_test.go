package limit_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/limit"
)

func TestDry_CountsAndRefusesNobody(t *testing.T) {
	var told []string
	l, err := limit.New(limit.Config{
		Limits: []config.Limit{
			{Name: "dry", Requests: []config.Rate{per(2, time.Hour), per(3, time.Hour)}},
			{Name: "wet", Requests: []config.Rate{per(4, time.Hour)}, Enforce: true},
		},
		OnRefuse: func(name string, enforced bool) { told = append(told, fmt.Sprint(name, enforced)) },
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := passes(t, l, limit.Query{}, 5); got != 4 {
		t.Errorf("%d requests passed, want 4", got)
	}
	if want := []string{"dryfalse", "dryfalse", "dryfalse", "wettrue"}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
	place, _ := l.Reserve(t.Context(), &limit.Query{})
	if got := header(place, "x-ratelimit-limit-requests"); got != "4" {
		t.Errorf("headers tell a limit of %s, want the one that refuses", got)
	}
}
