// Flights follows every flight out of New York City: what became of each, and how
// each route does.
package main

func main() {}
