package checkpoint

import "time"

// EncodeAt lays out a checkpoint with a chosen generation and moment.
func EncodeAt(st State, generation uint64, saved time.Time) ([]byte, error) {
	return encode(stored{State: st, generation: generation, saved: saved})
}

// Decode reads a checkpoint's bytes.
func Decode(b []byte) (State, uint64, time.Time, error) {
	c, err := decode(b)
	return c.State, c.generation, c.saved, err
}
