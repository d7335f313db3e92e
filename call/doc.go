// Package call is the vocabulary of Holdfast: what is asked (Call), by whom it
// may be answered (Target, Upstream), how an attempt ended (Outcome and its
// Class), and the Events that tell others about it.
//
// It is the ground floor of the house: it imports the standard library only,
// and every other room imports it. It decides nothing. The one table that maps
// a Class to its consequences stands here (Consequences), so that the retry
// scheduler, the breaker, the SLO recorder and the documentation read the same
// rows.
package call
