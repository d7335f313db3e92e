// Package providertest is the suite that every vendor passes.
//
// It feeds a vendor's exchanges through the vendor as the stack would: the path
// finds the endpoint, the endpoint's dialect reads the request and the answer,
// and what is an error is classified. What must come out stands in the vendor's
// table of Expect rows, one for each exchange: a recorded exchange without a row
// fails, and so does a row without an exchange.
//
// Exchanges come from three places. "own/" ones are ours, in
// testdata/<vendor>, written after the vendor's documentation. All others were
// recorded from real providers or collected from public reports; they are
// third-party data that is read in place, from $HOLDFAST_FIXTURES or
// ../shared/fixtures beside the repository, and skipped where that is absent.
package providertest
