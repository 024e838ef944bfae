package limit

import (
	"context"
	"strconv"
	"sync"
)

// place returns what says where in a cluster the bucket lives.
func (c *claim) place() string { return c.key[:c.tag] }

func (a *ask) place() string { return string(a.key[:a.tag]) }

// member is a reservation in the set of those open on a bucket.
func member(id string, need int64) string { return id + "|" + strconv.FormatInt(need, 10) }

// byTag puts the asks for buckets that live in one place together; the groups are pieces of asks, which is put in order.
func byTag(asks []ask) [][]ask {
	var groups [][]ask
	for start := 0; start < len(asks); {
		place, end := asks[start].place(), start+1
		for i := end; i < len(asks); i++ {
			if asks[i].place() == place {
				asks[i], asks[end] = asks[end], asks[i]
				end++
			}
		}
		groups = append(groups, asks[start:end])
		start = end
	}
	return groups
}

// takeGroups takes from buckets that live in several places, in parallel. When one place refuses or fails, the others get back what was
// taken there: for a moment other requests may find less than there is, never more.
func (r *Redis) takeGroups(ctx context.Context, id string, groups [][]ask) (bool, error) {
	oks, errs := make([]bool, len(groups)), make([]error, len(groups))
	var all sync.WaitGroup
	for i, g := range groups {
		all.Go(func() { oks[i], errs[i] = r.takeGroup(ctx, id, g) })
	}
	all.Wait()
	ok, err := true, error(nil)
	for i := range groups {
		ok = ok && oks[i]
		if errs[i] != nil {
			err = errs[i]
		}
	}
	if err != nil || !ok {
		for i, g := range groups {
			if oks[i] && errs[i] == nil {
				r.refund(id, g)
			}
		}
	}
	return ok, err
}

// refund gives back all that was taken for the asks.
func (r *Redis) refund(id string, asks []ask) {
	var changes []change
	for i := range asks {
		a := &asks[i]
		if !a.taken {
			continue
		}
		c := a.claim()
		changes = append(changes, change{&c, 0})
		a.taken = false
		a.debt -= a.need
	}
	if len(changes) > 0 {
		r.settle(id, changes)
	}
}
