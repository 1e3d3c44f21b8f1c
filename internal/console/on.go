package console

import "time"

// On names the faults of the clock that are on, so long after the faults began; for a demo that says what it
// does.
func (fs *Faults) On(age time.Duration) []string {
	var on []string
	for _, f := range []struct {
		name string
		is   bool
	}{
		{"429 storm", fs.Storm.at(age)},
		{"outage", fs.Outage.at(age)},
		{"refusal of the token (401)", fs.NoToken.at(age)},
		{"refusal of the right to read (403)", fs.NoRight.at(age)},
	} {
		if f.is {
			on = append(on, f.name)
		}
	}
	return on
}
