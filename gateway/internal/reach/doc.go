// Package reach decides which addresses the gateway may open connections to.
//
// It looks at the address that a connection is about to be opened to, after the
// name was resolved and for each address of the name, so that a name that
// resolves to something else the next time gains nothing. Three kinds of
// addresses are told apart:
//
//   - never: the metadata services of clouds (they hand out credentials), the
//     unspecified address, multicast and broadcast. Nothing opens them.
//   - local: loopback and link-local. A loopback address is called where the
//     host is written as one, or as localhost; else, as behind a name, only what
//     the operator has listed for that host.
//   - all others, private networks among them, are called.
//
// An IPv6 address that carries an IPv4 address inside (mapped, NAT64, 6to4,
// Teredo) is judged by both. Judge finds in a written host what a connection
// would be refused for later, and spellings that other parsers read differently.
package reach
