package testpeer

import (
	"bytes"
	"sync"
)

// kafkaLog keeps the end of the broker's log and notices when it is ready.
type kafkaLog struct {
	mu    sync.Mutex
	buf   []byte
	once  sync.Once
	ready chan struct{}
}

func (l *kafkaLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, p...)
	if bytes.Contains(l.buf, []byte("Kafka Server started")) {
		l.once.Do(func() { close(l.ready) })
	}
	if len(l.buf) > 64<<10 {
		l.buf = append([]byte(nil), l.buf[len(l.buf)-32<<10:]...)
	}
	return len(p), nil
}

func (l *kafkaLog) tail() string {
	if l == nil {
		return ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.buf[max(0, len(l.buf)-16<<10):])
}
