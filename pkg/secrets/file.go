package secrets

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// checkInterval is the least time between two looks at a file.
	checkInterval = time.Second
	// settleTime is how long a file must not have changed before it is read again: it may be half written.
	settleTime = time.Second
	// maxFile bounds the size of a file.
	maxFile = 1 << 20
)

// file is a file that is looked at when its value is asked for.
type file struct {
	path string
	log  func() *zap.Logger

	mu      sync.Mutex
	checked time.Time
	info    fs.FileInfo // of the content
	values  map[string]string
	warned  string // the last warning, which is not repeated
}

func openFile(path string, log func() *zap.Logger) (*file, error) {
	f := &file{path: path, log: log, checked: time.Now()}
	var err error
	if f.info, f.values, err = f.read(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *file) current() map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.checked) >= checkInterval {
		f.checked = now
		f.check(now)
	}
	return f.values
}

// check reads the file again if it has changed. A file that is missing, empty, or was changed just now is left for the
// next time.
func (f *file) check(now time.Time) {
	info, err := os.Stat(f.path)
	if err == nil {
		if same(info, f.info) {
			f.warned = ""
			return
		}
		if age := now.Sub(info.ModTime()); age >= 0 && age < settleTime {
			return
		}
		var values map[string]string
		if info, values, err = f.read(); err == nil {
			f.info, f.values, f.warned = info, values, ""
			f.log().Info("secret read again", zap.String("reference", kindFile+f.path))
			return
		}
	}
	if text := reason(err).Error(); text != f.warned {
		f.warned = text
		f.warn("a changed secret cannot be read; the last one stays", "", err)
	}
}

func (f *file) warn(message, setting string, err error) {
	f.log().Warn(message, zap.String("setting", setting), zap.String("reference", kindFile+f.path),
		zap.Error(reason(err)))
}

func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// read reads the file and how it was then.
func (f *file) read() (fs.FileInfo, map[string]string, error) {
	in, err := os.Open(f.path)
	if err != nil {
		return nil, nil, reason(err)
	}
	defer func() { _ = in.Close() }() // it is only read
	info, err := in.Stat()
	if err != nil {
		return nil, nil, reason(err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, errors.New("is no file")
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, nil, reason(err)
	}
	if len(raw) > maxFile {
		return nil, nil, errors.New("the file is too large")
	}
	text := strings.TrimRight(string(raw), "\r\n")
	if text == "" {
		return nil, nil, errors.New("the file is empty")
	}
	return info, map[string]string{"": text}, nil
}

// reason returns the error without the path, which the reference names.
func reason(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
