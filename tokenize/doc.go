// Package tokenize turns a request body into what routing by prefix needs: a canonical prompt, the hash chain
// of its blocks, and an estimate of its tokens.
//
// The canonical prompt is decoded text, role and content: how the JSON was spelled (escapes, blanks, key order)
// does not change it, and a changed earlier message changes every hash after it. The answer of an engine extends
// the chain so that the next turn of the conversation finds it.
//
// It also holds the JSON scanner that the gateway reads bodies and events with: it validates strictly, builds no
// tree and allocates nothing.
package tokenize
