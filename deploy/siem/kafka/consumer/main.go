// Command consumer prints each version of each threat once, a line of the record's value: consumer BROKERS TOPIC GROUP.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

// remembered is how many versions a generation has: of the last two, about 100 bytes each, repeats are left out.
const remembered = 100_000

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: consumer BROKERS TOPIC GROUP")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r := kafka.NewReader(kafka.ReaderConfig{
		Brokers: strings.Split(os.Args[1], ","), Topic: os.Args[2], GroupID: os.Args[3],
		StartOffset: kafka.FirstOffset, MaxWait: time.Second,
	})
	defer func() { _ = r.Close() }() // leaves the group, so that another member need not wait for this one
	older, newer := map[string]bool{}, map[string]bool{}
	for {
		m, err := r.FetchMessage(ctx)
		if err != nil {
			log.Print(err) // the group goes on where the last commit was
			return
		}
		version := ""
		for _, h := range m.Headers {
			if h.Key == "s1-version" {
				version = string(h.Value)
			}
		}
		if version == "" || !older[version] && !newer[version] {
			if _, err := fmt.Printf("%s\n", m.Value); err != nil { // here is what your SIEM gets; commit when it has it
				log.Print(err)
				return
			}
		}
		if newer[version] = true; len(newer) >= remembered {
			older, newer = newer, map[string]bool{}
		}
		if err := r.CommitMessages(ctx, m); err != nil {
			log.Print(err)
			return
		}
	}
}
