package engines

import "bytes"

// Detect tells the family from the prefix of the first metric that one of them is known by, nil when there is none. Metrics that come with
// the engine's language or web framework say nothing and are passed over.
func Detect(text []byte) *Table {
	known := tables()
	for len(text) > 0 {
		var line []byte
		line, text = nextLine(text)
		name := metricName(line)
		if len(name) == 0 {
			continue
		}
		for _, t := range known {
			if t.owns(name) {
				return t
			}
		}
	}
	return nil
}

// owns reports whether a metric name carries one of the family's prefixes.
func (t *Table) owns(name []byte) bool {
	for _, prefix := range t.prefixes {
		if bytes.HasPrefix(name, []byte(prefix)) {
			return true
		}
	}
	return false
}
