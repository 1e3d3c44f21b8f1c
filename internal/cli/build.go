package cli

import (
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"s1stream/checkpoint"
	"s1stream/internal/config"
	"s1stream/internal/ops"
	"s1stream/internal/pipeline"
	"s1stream/sink"
	"s1stream/sink/format"
	"s1stream/source"
)

// builder makes of a configuration what it says: consoles, and lines from them to sinks.
type builder struct {
	cfg        *config.Config
	log        *slog.Logger
	conditions *ops.Conditions
	sources    *source.Metrics
	sinks      *sink.Metrics
	limits     *source.Limits // one rate a token, whatever the number of sources that use it
}

// newBuilder registers the metrics of sources and sinks with reg: one builder a registry.
func newBuilder(cfg *config.Config, log *slog.Logger, reg prometheus.Registerer, conditions *ops.Conditions) *builder {
	return &builder{
		cfg:        cfg,
		log:        log,
		conditions: conditions,
		sources:    source.NewMetrics(reg),
		sinks:      sink.NewMetrics(reg),
		limits:     new(source.Limits),
	}
}

// console makes one console. An error is a *config.Error.
func (b *builder) console(s config.Source) (*source.Console, error) {
	c, err := source.New(s.Name, s.Config, source.Deps{
		Log: b.log, Metrics: b.sources, Conditions: b.conditions, Limits: b.limits,
	})
	if err != nil {
		return nil, &config.Error{Mistakes: []string{"source." + s.Name + "." + err.Error()}}
	}
	return c, nil
}

// deps is what the sink of one line is told.
func (b *builder) deps(s config.Sink, sourceName, host string) sink.Deps {
	return sink.Deps{
		Name:            s.Name,
		Source:          sourceName,
		Host:            host,
		MaxMessageBytes: int(s.Line.MaxMessageBytes),
		Format:          s.Line.Format,
		ContentType:     format.ContentType(s.Line.Format),
		Log:             b.log.With("sink", s.Name, "source", sourceName),
		Metrics:         b.sinks,
	}
}

// fingerprint says whose a source's checkpoints are.
func fingerprint(s config.Source) checkpoint.Fingerprint {
	return checkpoint.Fingerprint{Console: s.Config.Host(), Filter: s.Filter.String()}
}

// takes reports whether a sink takes a source.
func takes(s config.Sink, sourceName string) bool {
	for _, name := range s.Sources {
		if name == sourceName {
			return true
		}
	}
	return false
}

// built is everything that a run needs of a configuration.
type built struct {
	sources []pipeline.SourceSpec
	letters []*pipeline.DeadLetters
}

// build makes every console and line. It reaches nobody. An error holds every *config.Error there is.
func (b *builder) build(dir *checkpoint.Dir) (*built, error) {
	out := &built{}
	letters := map[string]*pipeline.DeadLetters{} // the lines of one sink share a file
	for _, s := range b.cfg.Sinks {
		letters[s.Name] = pipeline.NewDeadLetters(checkpoint.OS{}, s.Line.DeadLetter)
		out.letters = append(out.letters, letters[s.Name])
	}
	var mistakes []string
	for _, src := range b.cfg.Sources {
		c, err := b.console(src)
		if err != nil {
			mistakes = append(mistakes, mistakesOf(err)...)
			continue
		}
		spec := pipeline.SourceSpec{Console: c}
		for _, s := range b.cfg.Sinks {
			if !takes(s, src.Name) {
				continue
			}
			line, err := b.line(s, c)
			if err != nil {
				mistakes = append(mistakes, mistakesOf(err)...)
				continue
			}
			line.Checkpoint = dir.Line(src.Name, s.Name)
			line.Fingerprint = fingerprint(src)
			line.DeadLetters = letters[s.Name]
			spec.Lines = append(spec.Lines, line)
		}
		out.sources = append(out.sources, spec)
	}
	if len(mistakes) > 0 {
		out.discard()
		return nil, &config.Error{Mistakes: mistakes}
	}
	return out, nil
}

// line makes a line with a Sink of its own.
func (b *builder) line(s config.Sink, c *source.Console) (pipeline.LineSpec, error) {
	wrong := func(err error) error {
		return &config.Error{Mistakes: []string{"sink." + s.Name + "." + err.Error()}}
	}
	chosen, err := s.Line.Compile()
	if err != nil {
		return pipeline.LineSpec{}, wrong(err)
	}
	encode, err := format.New(s.Line.Format, s.Line.FormatOptions, c.Host(), chosen.Judge)
	if err != nil {
		return pipeline.LineSpec{}, wrong(err)
	}
	deps := b.deps(s, c.Name(), c.Host())
	deps.Judge = chosen.Judge
	out, err := s.Config.New(deps)
	if err != nil {
		return pipeline.LineSpec{}, &config.Error{Mistakes: []string{"sink." + s.Name + ": " + err.Error()}}
	}
	return pipeline.LineSpec{
		Sink:     s.Name,
		Config:   s.Line,
		Out:      out,
		Encode:   encode,
		Takes:    chosen.Takes,
		Strip:    chosen.Strip,
		MaxBytes: s.Config.MaxBytes(int(s.Line.MaxMessageBytes)),
	}, nil
}

// discard closes what no pipeline has run.
func (b *built) discard() {
	for _, spec := range b.sources {
		for _, line := range spec.Lines {
			_ = line.Out.Close() // it was never used
		}
	}
	_ = b.close()
}

// close closes what lines share, once none of them runs.
func (b *built) close() error {
	errs := make([]error, 0, len(b.letters))
	for _, l := range b.letters {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// mistakesOf takes an error apart, so that all of a configuration's are reported at once.
func mistakesOf(err error) []string {
	var conf *config.Error
	if errors.As(err, &conf) {
		return conf.Mistakes
	}
	return []string{err.Error()}
}
