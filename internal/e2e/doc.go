// Package e2e tests the program as an operator has it: the built binary as a process of its own, over real HTTP
// from an embedded console into real receivers, killed and restarted on the way. It holds tests alone.
//
// Each test ends the same way: everything has been delivered, the program is stopped, and what lies in each
// destination is compared with the console's own account of what it published. Nothing is lost, nothing is
// invented, the bytes are those that were served.
//
// `make kill` runs TestKill with 300 kills; -kills=N and -kill.seed=N choose, and the seed of a run is printed.
package e2e
