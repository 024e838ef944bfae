// Package usage counts what was used: requests, tokens and cost, by day, consumer, app, model, target and route.
//
// A Book adds up in memory what requests tell it at their ends, and saves what has come together every few seconds, when it is
// read and when it is closed. Saved counts live in Redis, where all gateways add to the same, else in a file of this gateway, else in
// memory. A request belongs to the day in which it ended, so days that are over do not change but for what is not saved yet.
//
// Every count is saved exactly once: what is saved together has a number, and a store that has had the number already does
// nothing. A process that dies loses what it has not saved: the last FlushEvery, and what a Redis that was away has not taken. Meanwhile
// memory stays bounded, since only new combinations take room: see mostRows.
//
// Record costs below a microsecond and allocates for the first request of a combination only.
package usage
