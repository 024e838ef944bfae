package observe

import "time"

// Ender says who ended a request.
type Ender uint8

// Who can end a request.
const (
	EndedByEngine  Ender = iota // the answer came to its end, good or bad
	EndedByClient               // the client left
	EndedByGateway              // refused, timed out or stopped here
)

// String returns the word of e in access lines.
func (e Ender) String() string {
	switch e {
	case EndedByClient:
		return "client"
	case EndedByGateway:
		return "gateway"
	default:
		return "engine"
	}
}

// Record is what one request leaves behind: its access line and its marks in the metrics. The handler fills it on the way and
// hands it in once, at the request's end, whatever the end. It holds no prompt text and no secret.
//
// Strings that are not known stay empty. Use NewRecord: the zero Record claims zero tokens where it should claim nothing.
type Record struct {
	Time     time.Time // when the request's head was read
	ID       string    // X-Request-Id
	Consumer string    // who called
	App      string    // application that called, by its own word; "" = it does not say
	Family   string    // API family, such as chat
	Path     string    // path as the client sent it, without the query
	Model    string    // model that the caller asked for
	Route    string    // route that matched
	Pool     string    // pool or provider of the last attempt
	Endpoint string    // URL of the last attempt's endpoint
	Policy   string    // balancing policy that chose it
	Tries    int       // attempts made one after the other; 0 = refused before the first
	Hedged   string    // won, lost or failed where a second attempt was made beside the first; "" = none was
	Status   int       // HTTP status sent; 0 = none
	Failure  string    // failure label; "" = none
	Cause    string    // the failure's cause for the operator, never shown to the client; "" = none
	Stream   bool      // the answer was a stream of events
	Cache    string    // hit, similar, join, miss or bypass where a rule of the answer cache covers the request; "" = none does
	Guard    string    // content rules that found something, what they do and how often; "" = none
	Ended    Ender

	Similarity float64 // of the question to which the answer belongs, where Cache is similar; else 0

	PromptTokens    int   // as the engine counted; -1 = unknown
	CachedTokens    int   // of these, found in the engine's cache; -1 = unknown
	OutputTokens    int   // -1 = unknown
	Cost            int64 // by the configured prices, millionths of the currency
	PredictedPrompt int   // our estimate of the prompt before it was sent; -1 = none made
	PredictedCached int   // tokens believed to be in the chosen endpoint's cache; -1 = none made

	Queue    time.Duration // waited in the pool's queue
	TTFT     time.Duration // from the request's head to the first event or byte of the answer; -1 = none came
	Total    time.Duration // from the request's head to its end
	BytesIn  int64         // body of the request
	BytesOut int64         // body of the answer, as far as it was sent

	// PassedOver names the targets of the route that did not answer before the last one, each with the failure; "" = none.
	PassedOver string
}

// NewRecord returns a record that knows nothing but its start.
func NewRecord(start time.Time, id string) Record {
	return Record{
		Time: start, ID: id, TTFT: -1,
		PromptTokens: -1, CachedTokens: -1, OutputTokens: -1, PredictedPrompt: -1, PredictedCached: -1,
	}
}
