package engine

// limits checks what a generation request wants against the model and returns it in the form that answers are drawn
// from. The longest prompt decides.
func (s *Server) limits(b *body, prompt int) (lengths, *problem) {
	want := lengths{limit: s.cfg.MaxModelLen - prompt, least: b.MinTokens, ignoreEOS: b.IgnoreEOS}
	param, asked := "max_tokens", b.MaxTokens
	if b.MaxCompletionTokens != nil {
		param, asked = "max_completion_tokens", b.MaxCompletionTokens
	}
	length := s.cfg.MaxModelLen
	switch {
	case b.Temperature != nil && *b.Temperature < 0:
		return want, badRequest("temperature", "temperature must be non-negative, got %.1f. (parameter=temperature, value=%.1f)", *b.Temperature, *b.Temperature)
	case b.CacheSalt != nil && *b.CacheSalt == "":
		return want, badRequest("cache_salt", "Parameter 'cache_salt' must be a non-empty string if provided. (parameter=cache_salt)")
	case b.N != nil && *b.N < 1:
		return want, badRequest("n", "n must be at least 1, got %d. (parameter=n, value=%d)", *b.N, *b.N)
	case asked != nil && *asked < 1:
		return want, badRequest(param, "%s must be at least 1, got %d. (parameter=%s, value=%d)", param, *asked, param, *asked)
	case asked != nil && *asked > length:
		return want, badRequest(param, "%s=%d cannot be greater than max_model_len=%d. Please request fewer output tokens. (parameter=%s, value=%d)",
			param, *asked, length, param, *asked)
	case prompt >= length:
		return want, badRequest("input_tokens", "This model's maximum context length is %d tokens. However, your prompt contains at least %d input tokens, "+
			"which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. (parameter=input_tokens, value=%d)",
			length, min(prompt, length+1), min(prompt, length+1))
	case asked != nil && prompt+*asked > length:
		return want, badRequest("input_tokens", "This model's maximum context length is %d tokens. However, you requested %d output tokens and your prompt contains "+
			"at least %d input tokens, for a total of at least %d tokens. Please reduce the length of the input prompt or the number of requested output tokens. "+
			"(parameter=input_tokens, value=%d)", length, *asked, prompt, prompt+*asked, prompt)
	case asked != nil && b.MinTokens > *asked:
		return want, badRequest("min_tokens", "min_tokens must be less than or equal to max_tokens=%d, got %d. (parameter=min_tokens, value=%d)", *asked, b.MinTokens, b.MinTokens)
	}
	if asked != nil {
		want.limit, want.asked = *asked, true
	}
	return want, nil
}
