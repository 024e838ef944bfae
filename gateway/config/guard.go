package config

// GuardRule looks for something in requests, in answers or in both, and does something about it.
type GuardRule struct {
	Name       string     `yaml:"name"`
	Match      Match      `yaml:"match"`       // which requests it looks at; empty = all
	Check      []string   `yaml:"check,one"`   // input, output
	Words      []string   `yaml:"words,one"`   // files with a word or phrase a line
	WholeWords bool       `yaml:"whole_words"` // words in letters are not looked for within longer words
	Regex      []string   `yaml:"regex,one"`   // regular expressions (RE2)
	Detect     []string   `yaml:"detect,one"`  // forms that are known: phone, email, id_card, bank_card, api_key
	Moderation Moderation `yaml:"moderation"`  // a service that is asked as well
	Action     string     `yaml:"action"`      // deny, mask, restore or log
	Mask       string     `yaml:"mask"`        // in the place of what is masked; "" = *** or the name of the form in brackets
	Refuse     string     `yaml:"refuse"`      // how action deny answers: error or answer
	Message    string     `yaml:"message"`     // for the caller whose request or answer is denied
	LookBack   Size       `yaml:"look_back"`   // of a stream's text that is held back at most
}

// Moderation is a service that is asked about texts, in the form of OpenAI's moderations.
type Moderation struct {
	URL        string   `yaml:"url"` // "" = none
	APIKey     Secret   `yaml:"api_key"`
	Model      string   `yaml:"model"`      // "" = the service's own choice
	Categories []string `yaml:"categories"` // that count; none = whatever the service flags
	Timeout    Duration `yaml:"timeout"`
	OnFailure  string   `yaml:"on_failure"` // what happens when it does not answer: deny or pass
	Every      Size     `yaml:"every"`      // of a stream's text that is collected before it is asked
}

// GuardActions are what a rule can do about what it finds.
func GuardActions() []string { return []string{"deny", "mask", "restore", "log"} }

// GuardForms are the forms that a rule can detect.
func GuardForms() []string { return []string{"phone", "email", "id_card", "bank_card", "api_key"} }

// Checks reports whether the rule looks at that side: input or output.
func (r *GuardRule) Checks(side string) bool {
	for _, s := range r.Check {
		if s == side {
			return true
		}
	}
	return false
}
