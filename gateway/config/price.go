package config

// Of returns what the model costs: the first entry that names it; nil, which costs nothing, where none does.
func (p *Prices) Of(model string) *Price {
	for i := range p.Models {
		if AnyGlob(p.Models[i].Models, model) {
			return &p.Models[i]
		}
	}
	return nil
}

// mostCost is the most that a request can cost: beyond it doubles do not count in ones.
const mostCost = 1 << 52

// Cost is what a request costs, in millionths of the currency, rounded up. cached is the part of input that came from a cache.
func (p *Price) Cost(input, cached, output int) int64 {
	if p == nil {
		return 0
	}
	forCached := p.Cached
	if forCached == 0 {
		forCached = p.Input
	}
	cached = min(max(0, cached), input)
	micros := float64(input-cached)*p.Input + float64(cached)*forCached + float64(output)*p.Output
	if micros >= mostCost {
		return mostCost
	}
	n := int64(micros)
	if float64(n) < micros {
		n++
	}
	return n
}
