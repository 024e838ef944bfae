package usage

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Query asks for a report.
type Query struct {
	From, To string      // first and last day, as 2026-11-30; "" = 29 days before To, and today
	By       []Dimension // what rows are told apart by, in the order in which they are sorted; none = one row of all
	// Only are the values that count; a dimension without any is not looked at.
	Only [dimensions][]string
}

// Report tells what was used.
type Report struct {
	From, To string
	Zone     string // of days
	Currency string // of cost, as the caller of Report knows it
	By       []Dimension
	Rows     []Row
	Total    Count
}

// Row is a combination of values and what was counted for it.
type Row struct {
	Key   Key // only the dimensions of Report.By are set
	Count Count
}

// BadQuery is what a query asks for in vain.
type BadQuery struct{ Param, Message string }

func (e *BadQuery) Error() string { return e.Param + ": " + e.Message }

// Report reads what was counted, by this gateway until now, by others as far as they have saved it. Its error is a *BadQuery where the
// query is to blame.
func (b *Book) Report(ctx context.Context, q Query) (*Report, error) {
	first, last, err := b.days(&q)
	if err != nil {
		return nil, err
	}
	if err := b.Flush(ctx); err != nil {
		return nil, err
	}
	r := &Report{From: q.From, To: q.To, Zone: b.o.Zone, By: q.By, Rows: []Row{}}
	sums := map[Key]*Count{}
	take := func(k Key, c *Count) {
		if !q.wants(&k) {
			return
		}
		r.Total.add(c)
		group := Key{}
		for _, d := range q.By {
			group[d] = k[d]
		}
		sum := sums[group]
		if sum == nil {
			sum = new(Count)
			sums[group] = sum
		}
		sum.add(c)
	}
	for day := first; !day.After(last); day = day.AddDate(0, 0, 1) {
		if err := b.store.read(ctx, day.Format(time.DateOnly), take); err != nil {
			return nil, fmt.Errorf("reading usage: %w", err)
		}
	}
	for k, c := range sums {
		r.Rows = append(r.Rows, Row{k, *c})
	}
	slices.SortFunc(r.Rows, func(a, b Row) int {
		for _, d := range q.By {
			if order := cmp.Compare(a.Key[d], b.Key[d]); order != 0 {
				return order
			}
		}
		return 0
	})
	return r, nil
}

// days completes the query and returns what of it may hold something. Days are counted in UTC, where all have a midnight.
func (b *Book) days(q *Query) (first, last time.Time, err error) {
	today := b.dayOf(b.o.Now())
	if q.To == "" {
		q.To = today
	}
	if last, err = time.Parse(time.DateOnly, q.To); err != nil {
		return first, last, &BadQuery{"to", fmt.Sprintf("%q is no day such as %s", q.To, today)}
	}
	if q.From == "" {
		q.From = last.AddDate(0, 0, -29).Format(time.DateOnly)
	}
	if first, err = time.Parse(time.DateOnly, q.From); err != nil {
		return first, last, &BadQuery{"from", fmt.Sprintf("%q is no day such as %s", q.From, today)}
	}
	if first.After(last) {
		return first, last, &BadQuery{"from", fmt.Sprintf("%s is after %s", q.From, q.To)}
	}
	if earliest, err := time.Parse(time.DateOnly, b.earliest()); err == nil && first.Before(earliest) {
		first = earliest
	}
	if end, err := time.Parse(time.DateOnly, today); err == nil && last.After(end) {
		last = end
	}
	return first, last, nil
}

// wants says whether a combination counts.
func (q *Query) wants(k *Key) bool {
	for d, values := range q.Only {
		if len(values) > 0 && !slices.Contains(values, k[d]) {
			return false
		}
	}
	return true
}

// member is one of a JSON object, whose order is to be kept.
type member struct {
	name  string
	value any
}

func object(members []member) ([]byte, error) {
	out := []byte{'{'}
	for i, m := range members {
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, '"')
		out = append(out, m.name...)
		out = append(append(out, '"', ':'), value...)
	}
	return append(out, '}'), nil
}

// MarshalJSON writes each row with its dimensions, then its measures.
func (r *Report) MarshalJSON() ([]byte, error) {
	rows, by := make([]json.RawMessage, len(r.Rows)), make([]string, len(r.By))
	for i, d := range r.By {
		by[i] = d.String()
	}
	for i := range r.Rows {
		var members []member
		for _, d := range r.By {
			members = append(members, member{d.String(), r.Rows[i].Key[d]})
		}
		var err error
		if rows[i], err = object(append(members, r.Rows[i].Count.members()...)); err != nil {
			return nil, err
		}
	}
	total, err := object(r.Total.members())
	if err != nil {
		return nil, err
	}
	return object([]member{
		{"from", r.From}, {"to", r.To}, {"zone", r.Zone}, {"currency", r.Currency}, {"by", by}, {"rows", rows}, {"total", json.RawMessage(total)},
	})
}

func (c *Count) members() []member {
	all := make([]member, measures)
	for i, name := range Measures() {
		all[i] = member{name, json.Number(c.text(Measure(i)))}
	}
	return all
}
