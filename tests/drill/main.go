// Command drill shows that a backup of souk's databases can be restored to a second. It runs a souk dev whose
// PostgreSQL archives to pgBackRest, sells under load, and destroys all volumes: PostgreSQL's, JetStream's and Redis's.
// Then it restores PostgreSQL to a second before, has JetStream rebuilt from the outboxes, and checks that no order is
// missing that was acknowledged before that second, and that souk verify finds nothing wrong:
//
//	go run ./tests/drill                   # 2,000 orders before the load
//	go run ./tests/drill -orders 100000    # what make drill does
//	go run ./tests/drill -regions          # lose a region, fail over to its standby, and go back
//
// It needs pgBackRest and PostgreSQL's programs (tools/deps.sh drill), and ends by itself.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	orders := flag.Int("orders", 2000, "orders to place before the full backup")
	load := flag.Duration(
		"load",
		20*time.Second,
		"how long souk sells after the full backup until the volumes are lost",
	)
	binary := flag.String("souk", "bin/souk", "the program")
	regions := flag.Bool("regions", false, "fail over to a second region, and go back, instead")
	keep := flag.Bool("keep", false, "keep the drill's folder")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, *binary, *orders, *load, *regions, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "drill:", err)
		cancel()
		os.Exit(1) //nolint:gocritic // everything has been stopped
	}
}

// laps prints how long each step took.
type laps struct{ from time.Time }

func (l *laps) done(format string, args ...any) {
	fmt.Printf("%7.1f s  %s\n", time.Since(l.from).Seconds(), fmt.Sprintf(format, args...))
	l.from = time.Now()
}

func run(ctx context.Context, binary string, orders int, load time.Duration, regions, keep bool) (err error) {
	dir, err := os.MkdirTemp("", "souk-drill-")
	if err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // PostgreSQL's user must get to its own folder
		return err
	}
	defer func() {
		if keep {
			fmt.Println("kept:", dir)
			return
		}
		_ = os.RemoveAll(dir)
	}()
	if binary, err = filepath.Abs(binary); err != nil {
		return err
	}
	d := &drill{dir: dir, souk: &souk{binary: binary, dir: filepath.Join(dir, "souk")}, laps: &laps{from: time.Now()}}
	defer d.stop()
	if regions {
		return d.regions(ctx, orders, load)
	}
	return d.run(ctx, orders, load)
}

// drill is one run.
type drill struct {
	dir     string
	souk    *souk
	backup  *backup
	laps    *laps
	variant [2]string // of two shops
}

// stop ends what still runs.
func (d *drill) stop() {
	d.souk.kill()
	if d.backup != nil {
		d.backup.stop()
	}
}

func (d *drill) run(ctx context.Context, orders int, load time.Duration) error {
	if err := d.prepare(ctx); err != nil {
		return err
	}
	placed := &placed{}
	if err := d.sell(ctx, orders, 64, placed); err != nil {
		return fmt.Errorf("orders before the backup: %w", err)
	}
	d.laps.done("%d orders placed", placed.len())
	if err := d.backup.take(ctx, "full"); err != nil {
		return err
	}
	d.laps.done("full backup")

	// From here on souk sells without a pause, until the volumes are gone.
	selling, stopSelling := context.WithCancel(ctx)
	defer stopSelling()
	sold := make(chan struct{})
	go func() {
		defer close(sold)
		d.sellUntil(selling, 8, placed)
	}()
	if !wait(ctx, load/2) {
		return ctx.Err()
	}
	if err := d.backup.take(ctx, "incr"); err != nil {
		return err
	}
	d.laps.done("incremental backup, under load")
	if err := d.backup.test(ctx); err != nil {
		return fmt.Errorf("restore test: %w", err)
	}
	d.laps.done("backup reported, and restored as a test, under load")
	if !wait(ctx, load/2) {
		return ctx.Err()
	}
	lost := time.Now()
	if err := d.destroy(); err != nil {
		return err
	}
	stopSelling()
	<-sold
	d.laps.done(
		"all volumes lost at %s, under load; %d orders acknowledged",
		lost.UTC().Format(clockFormat),
		placed.len(),
	)

	began, target := time.Now(), lost.Add(-time.Second)
	if err := d.backup.restore(ctx, target); err != nil {
		return err
	}
	d.laps.done("PostgreSQL restored to %s", target.UTC().Format(clockFormat))
	if err := d.souk.start(ctx); err != nil {
		return err
	}
	d.laps.done("souk ready")
	if err := d.souk.command(ctx, "verify", "--after-restore", target.UTC().Format(time.RFC3339)); err != nil {
		return fmt.Errorf("souk verify after the restore: %w", err)
	}
	d.laps.done("souk verify --after-restore: outboxes published again, clean")
	rto := time.Since(began)
	if err := d.compare(ctx, placed, target); err != nil {
		return err
	}
	fmt.Printf("RTO %.1f s\n", rto.Seconds())
	return d.sellAgain(ctx)
}

const clockFormat = "15:04:05.000"

func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
