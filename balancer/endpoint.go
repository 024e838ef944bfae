package balancer

// AdminState is what an operator wants of an endpoint.
type AdminState uint8

const (
	// Enabled endpoints serve.
	Enabled AdminState = iota
	// Draining endpoints finish what they have and get nothing new.
	Draining
	// Disabled endpoints get nothing new and are not probed.
	Disabled
)

// String is the state as the admin API writes it.
func (s AdminState) String() string {
	switch s {
	case Enabled:
		return "enabled"
	case Draining:
		return "draining"
	default:
		return "disabled"
	}
}

// Endpoint is one replica of a pool.
type Endpoint struct {
	index int
	cfg   EndpointConfig
}

func newEndpoint(index int, cfg EndpointConfig) *Endpoint {
	if cfg.Weight <= 0 {
		cfg.Weight = 1
	}
	return &Endpoint{index: index, cfg: cfg}
}

// URL is the endpoint's base URL.
func (e *Endpoint) URL() string { return e.cfg.URL }

// Index is the endpoint's position in [Pool.Endpoints].
func (e *Endpoint) Index() int { return e.index }
