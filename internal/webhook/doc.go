// Package webhook delivers messages as Standard Webhooks 1.0 has it: it signs them, posts them to addresses that may be
// reached, and tells from the answer what is to become of them. When to try again is a [Schedule]'s to say, and how much
// one endpoint may be sent a [Gates]' to hold. What is kept of all that is for others.
//
// Secrets and schedules never change, and a [Client] and a [Gates] are safe for concurrent use.
package webhook
