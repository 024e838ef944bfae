package sweep

// Shared is what several gateways tell each other.
type Shared uint8

// The degrees of sharing.
const (
	SharedNothing Shared = iota // each knows its own requests and the engines' metrics
	SharedLoad                  // what each has in flight, and the speeds learned
	SharedIndex                 // and which prompts went where
)

// String says what is shared.
func (s Shared) String() string { return [...]string{"nothing", "load", "load and index"}[s] }
