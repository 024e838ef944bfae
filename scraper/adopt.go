package scraper

// Adopt takes over what old has found out about engines with the same URL: family and adapters. Without it the adapters would have no
// name until the engines are read again. Call it before Run.
func (p *Poller) Adopt(old *Poller) {
	for _, w := range p.watches {
		for _, was := range old.watches {
			if was.base.String() != w.base.String() {
				continue
			}
			if known := was.known.Load(); known != nil && !w.fixed {
				w.known.Store(known)
			}
			w.adapters.Store(was.adapters.Load())
		}
	}
	p.gatherAdapters()
}
