package config

// Pool is a set of replicas that serve one model.
type Pool struct {
	Name        string     `yaml:"name"`         // also a public model name
	Engine      string     `yaml:"engine"`       // engine family, or "auto": told from what it exposes
	Endpoints   []Endpoint `yaml:"endpoints"`    // at least one
	Policy      Policy     `yaml:"policy"`       // how an endpoint is chosen
	ServedModel string     `yaml:"served_model"` // name sent to the engine; "" = the caller's; also a public model name
	Models      []string   `yaml:"models"`       // further names that the engines know themselves (LoRA adapters); sent as they are
	APIKey      Secret     `yaml:"api_key"`      // credential for the engines
	Auth        Auth       `yaml:"auth"`         // how the credential is sent
	TLS         ClientTLS  `yaml:"tls"`          // for https endpoints
	Session     Session    `yaml:"session"`      // what keeps the requests of one conversation together
	ProbeIdle   bool       `yaml:"probe_idle"`   // whether idle endpoints are asked for a few tokens, so that their speed stays known
	Health      Health     `yaml:"health"`
	Queue       Queue      `yaml:"queue"`
	Hedge       float64    `yaml:"hedge"` // share of streamed requests that may be sent to a second endpoint when their first event is late; 0 = none
	Timeouts    Timeouts   `yaml:"timeouts"`
	Metrics     Metrics    `yaml:"metrics"`
	KVTokens    int        `yaml:"kv_tokens"` // prompt tokens an endpoint's cache holds, when its metrics do not tell
}

// Endpoint is one replica.
type Endpoint struct {
	URL            string  `yaml:"url,scalar"`      // http or https, with an optional base path, without a trailing slash
	MaxConcurrency int     `yaml:"max_concurrency"` // most requests in flight; 0 = no cap
	Weight         float64 `yaml:"weight"`          // share for policies that weigh endpoints
	DataParallel   int     `yaml:"data_parallel"`   // data-parallel ranks behind the URL, each an endpoint of its own; 1 = the URL is one endpoint
}

// Session says how requests of one conversation are known and how much they are drawn to one endpoint.
type Session struct {
	Headers []string `yaml:"headers,one"` // canonical names; the first that a request has names its conversation; none = no bonus
	Bonus   Duration `yaml:"bonus"`       // by how much cheaper the endpoint of the conversation's last request looks, for policy warm
}

// Policy names a balancing policy and its parameters.
type Policy struct {
	Name   string         `yaml:"name,scalar"`
	Params map[string]any `yaml:",params"` // the other keys of the mapping; strings, bools, int64, float64, lists and maps of them
}

// AuthScheme is a way to send a credential.
type AuthScheme uint8

// The ways to send a credential.
const (
	AuthBearer AuthScheme = iota // Authorization: Bearer KEY
	AuthBare                     // Authorization: KEY, as Alibaba PAI-EAS wants it
	AuthHeader                   // a header of its own
)

// Auth is how a pool's credential is sent; the zero Auth is a bearer token.
type Auth struct {
	Scheme AuthScheme
	Header string // header name in canonical form, for AuthHeader
}

// Health says how an endpoint is probed and when it is taken out.
type Health struct {
	Path       string   `yaml:"path"`        // below the endpoint's base path
	Generate   bool     `yaml:"generate"`    // whether a probe asks for a token, and for the path only where engines do not generate
	Interval   Duration `yaml:"interval"`    // between two probes of one endpoint
	Timeout    Duration `yaml:"timeout"`     // for one probe
	EjectAfter int      `yaml:"eject_after"` // failures of distinct requests before an endpoint is ejected
	EjectFor   Duration `yaml:"eject_for"`   // the first time out, doubled each time until the endpoint answers again
	EjectMax   Duration `yaml:"eject_max"`   // the longest
}

// Queue is where requests wait while no endpoint has room for them.
type Queue struct {
	Max  int      `yaml:"max"`  // most requests that wait at once; 0 = none
	Wait Duration `yaml:"wait"` // longest wait
	Late Duration `yaml:"late"` // foreseen time until an endpoint begins, from which a request waits although there is room; 0 = never
	Shed Duration `yaml:"shed"` // longest wait during overload; 0 = the same
}

// Timeouts bound the phases of an attempt.
type Timeouts struct {
	Connect       Duration `yaml:"connect"`        // dial and TLS handshake
	FirstEvent    Duration `yaml:"first_event"`    // from the request sent to the engine's first event or byte of answer
	Answer        Duration `yaml:"answer"`         // for a generation whose answer comes in one piece, in place of FirstEvent
	BetweenEvents Duration `yaml:"between_events"` // silence allowed within a stream or body
}

// Metrics says where an endpoint's Prometheus text is.
type Metrics struct {
	Path     string            `yaml:"path"`     // below the endpoint's base path; "" = the engine family's own, /metrics for most
	Port     int               `yaml:"port"`     // 0 = the endpoint's own
	Interval Duration          `yaml:"interval"` // between two scrapes of one endpoint
	Names    map[string]string `yaml:"names"`    // for engine generic: signal -> metric name, see engines.Generic; without names nothing is scraped
}

// ClientTLS says whom the gateway trusts at the other end of TLS, and what it shows of itself. The zero ClientTLS trusts the system's roots.
type ClientTLS struct {
	CA         string `yaml:"ca"`          // PEM file of the roots that are trusted instead of the system's
	Cert       string `yaml:"cert"`        // PEM file of the gateway's own certificate; with Key or not at all
	Key        string `yaml:"key"`         // PEM file of its private key
	ServerName string `yaml:"server_name"` // name that certificates must be for; "" = the URL's host
	Insecure   bool   `yaml:"insecure"`    // whether any certificate is taken

	ca, cert, key []byte // the files' content
}

// PEM returns the content of the files, nil for those that are not named.
func (t *ClientTLS) PEM() (ca, cert, key []byte) { return t.ca, t.cert, t.key }

// Empty reports whether nothing is said.
func (t *ClientTLS) Empty() bool {
	return t.CA == "" && t.Cert == "" && t.Key == "" && t.ServerName == "" && !t.Insecure
}
