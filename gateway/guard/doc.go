// Package guard finds what must not be said in requests and answers, and refuses, masks or notes it.
//
// Rules look for words, regular expressions and things with a form of their own, such as telephone numbers. All of them see a
// text in its NFKC form and without characters that do not show, words moreover in lower case and in simplified characters; what is
// found is cut out of the original bytes, which stay as they are everywhere else.
//
// A stream is looked at across its events: only the end of a text that further text could turn into a match is held back, at most
// Rule.LookBack bytes. Text that is found is in no log, metric or error.
package guard
