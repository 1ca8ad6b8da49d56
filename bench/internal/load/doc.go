// Package load is the subscribers' side of the benchmarks: connections to a server under test, all on
// one goroutine and one epoll descriptor, in a process of their own. It costs little: it walks over
// frame headers, counts messages by a byte that occurs once in each, and parses no JSON.
package load
