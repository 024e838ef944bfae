package balancer

import "github.com/warmlane/warmlane/tokenize"

const (
	trustWeight = 0.05 // of one more answer
	trustFrom   = 256  // predicted tokens below which an answer says nothing about trust

	blockWeight = 0.01  // of one more prompt
	blockFrom   = 4     // blocks of a prompt below which it says nothing about their length
	leastBlock  = 8.0   // tokens: one for 32 bytes
	mostBlock   = 256.0 // tokens: one for each byte

	budgetAnswers  = 16       // of the oldest band and of the youngest, on which a budget changes
	budgetFalls    = 0.7      // it shrinks where the oldest band comes true less often than this part of the youngest
	budgetRises    = 0.9      // it grows where more often than this
	budgetShrinks  = 7.0 / 8  // to this part
	budgetGrows    = 9.0 / 8  // to this part, at most to the whole
	budgetLeast    = 1.0 / 16 // of a size that is guessed
	budgetLeastOwn = 1.0 / 2  // of the engine's own; half an index costs little, a quarter more than all that is gained
)

// trustBands are the ages of what is predicted, as parts of the age of the oldest block that the index holds for the endpoint: below
// 1/8, 1/4, 1/2 and above. What an engine has given up is missing in the oldest; what it never kept, or hashes otherwise, is missing in
// all of them.
const trustBands = 4

func trustBand(age float64) int {
	switch {
	case age < 1.0/8:
		return 0
	case age < 1.0/4:
		return 1
	case age < 1.0/2:
		return 2
	default:
		return 3
	}
}

// trust is what an endpoint's answers tell about the prefix index: q, the share of predicted hits that come true, and the part of the KV
// memory that the index may count on, as others may use the engine too, or nobody has told its size.
type trust struct {
	all    float64
	bands  [trustBands]float64
	budget float64 // part of the KV memory
	recent [trustBands]tally
}

// tally sums the shares of some answers.
type tally struct {
	answers int
	sum     float64
}

func newTrust() trust {
	t := trust{all: 1, budget: 1}
	for i := range t.bands {
		t.bands[i] = 1
	}
	return t
}

// resize begins anew with an engine's own size.
func (t *trust) resize() { t.budget, t.recent = 1, [trustBands]tally{} }

// of is q for a band. The older is never trusted more than the younger.
func (t *trust) of(band int) float64 {
	q := t.bands[0]
	for _, b := range t.bands[1 : band+1] {
		q = min(q, b)
	}
	return q
}

// saw takes in the share that came true of what an answer's prompt was predicted to find.
func (t *trust) saw(band int, share float64) {
	t.all += trustWeight * (share - t.all)
	t.bands[band] += trustWeight * (share - t.bands[band])
	t.recent[band].answers++
	t.recent[band].sum += share
}

// fit changes the budget once enough answers tell whether it should be. held is the part of it that is in use, least the smallest that
// it may be.
func (t *trust) fit(held, least float64) {
	young, old := t.recent[0], t.recent[trustBands-1]
	if min(young.answers, old.answers) < budgetAnswers {
		return
	}
	t.recent = [trustBands]tally{}
	switch ratio := old.sum * float64(young.answers) / (young.sum * float64(old.answers)); { // of nothing by nothing is neither
	case ratio < budgetFalls:
		t.budget = max(least, t.budget*min(1, held)*budgetShrinks)
	case ratio > budgetRises:
		t.budget = min(1, t.budget*budgetGrows)
	}
}

// sawCached compares what the engine found in its cache with what was predicted for l.
func (p *Pool) sawCached(l *Lease, o Outcome) {
	e := l.endpoint
	if l.predicted < trustFrom || o.CachedTokens < 0 || o.PromptTokens <= 0 || l.epoch != e.epoch {
		return
	}
	want := float64(l.predicted) / float64(l.prompt)
	got := float64(o.CachedTokens) / float64(o.PromptTokens)
	e.trust.saw(l.band, min(1, got/want))
	least := budgetLeast
	if e.scraped.load.KVTokens > 0 {
		least = budgetLeastOwn
	}
	e.trust.fit(float64(p.index.Held(e.index))/float64(p.index.Budget(e.index)), least)
	p.setBudget(e)
}

// sawBlocks learns how many tokens a block of prompt has: blocks are equal in bytes.
func (p *Pool) sawBlocks(prompt *tokenize.Prompt) {
	if prompt == nil || len(prompt.Blocks) < blockFrom || prompt.Bytes <= 0 {
		return
	}
	length := tokenize.BlockBytes * float64(prompt.Tokens) / float64(prompt.Bytes)
	p.blockTokens += blockWeight * (min(max(leastBlock, length), mostBlock) - p.blockTokens)
}

// setBudget lets the index hold for e what its engine can hold, as far as predictions have come true.
func (p *Pool) setBudget(e *Endpoint) {
	tokens := e.scraped.load.KVTokens
	if tokens <= 0 {
		tokens = p.cfg.DefaultKVTokens
	}
	if budget := max(1, int(e.trust.budget*float64(tokens)/p.blockTokens)); budget != p.index.Budget(e.index) {
		p.index.SetBudget(e.index, budget)
	}
}
