package api

// ReadAnswer reads an answer that is not a stream: usage and, into sink (may be nil), the answer of choice 0.
// ok is false when body is no JSON object.
func ReadAnswer(f Family, body []byte, sink Sink) (Usage, bool) { return NoUsage, false }
