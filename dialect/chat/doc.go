// Package chat speaks OpenAI Chat Completions, the dialect most providers have
// in common, and reads the embeddings beside it.
//
// A stream is a row of unnamed events: chunks with choices[].delta, at last a
// finish_reason for each choice, an optional chunk with usage and no choices,
// and "[DONE]". An error in the middle is a chunk {"error":{...}}. Many
// compatible servers never send [DONE], so that a finish reason for every
// choice is an end too, unless a vendor is known to be strict.
//
// Everything here looks at the bytes; nothing is decoded as a whole, and a chunk
// of text allocates nothing.
package chat
