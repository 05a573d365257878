package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// regions shows a failover to a second region, and the way back. Region a serves, and its PostgreSQL is replicated to
// region b, not synchronously. NATS and Redis are not replicated: region b has its own, which are empty. Region a is lost
// under load. Region b is promoted and serves. Then region a is made a standby of region b, and serves again after a
// planned switch, which loses nothing.
func (d *drill) regions(ctx context.Context, orders int, load time.Duration) error {
	if err := d.prepare(ctx); err != nil {
		return err
	}
	a, b := d.souk, &souk{binary: d.souk.binary, dir: filepath.Join(d.dir, "b")}
	defer a.kill()
	defer b.kill()
	if err := d.copySecrets(ctx, a, b); err != nil {
		return err
	}
	placed := &placed{}
	if err := d.sell(ctx, orders, 8, placed); err != nil {
		return fmt.Errorf("orders in region a: %w", err)
	}
	replica, err := d.replicate(ctx, a, b)
	if err != nil {
		return err
	}
	defer replica.stop(ctx)
	d.laps.done("%d orders placed in region a, region b replicates", placed.len())

	selling, stopSelling := context.WithCancel(ctx)
	defer stopSelling()
	sold := make(chan struct{})
	go func() {
		defer close(sold)
		d.sellUntil(selling, 8, placed)
	}()
	if !wait(ctx, load) {
		return ctx.Err()
	}
	lost := time.Now()
	if err := d.destroy(); err != nil {
		return err
	}
	stopSelling()
	<-sold
	d.laps.done("region a lost at %s, under load; %d orders acknowledged", lost.UTC().Format(clockFormat), placed.len())

	began, target := time.Now(), lost.Add(-time.Second)
	if err := d.takeOver(ctx, replica, b, target); err != nil {
		return err
	}
	fmt.Printf("RTO of the failover %.1f s\n", time.Since(began).Seconds())
	if err := d.compare(ctx, placed, target); err != nil {
		return err
	}
	if err := d.failBack(ctx, a, b); err != nil {
		return fmt.Errorf("back to region a: %w", err)
	}
	if err := d.compare(ctx, placed, target); err != nil {
		return fmt.Errorf("after the way back: %w", err)
	}
	return d.sellAgain(ctx)
}

// failBack makes region a a standby of region b under load, and switches back.
func (d *drill) failBack(ctx context.Context, a, b *souk) error {
	replica, err := d.replicate(ctx, b, a)
	if err != nil {
		return err
	}
	defer replica.stop(ctx)
	placed := &placed{}
	if err := d.sell(ctx, 200, 8, placed); err != nil {
		return err
	}
	d.laps.done("%d orders placed in region b, region a replicates", placed.len())
	began := time.Now()
	// PostgreSQL sends its standbys all of its log before it has stopped.
	if err := b.stop(); err != nil {
		return err
	}
	if err := d.takeOver(ctx, replica, a, began); err != nil {
		return err
	}
	fmt.Printf("time without service of the planned switch %.1f s\n", time.Since(began).Seconds())
	return d.compare(ctx, placed, began)
}

// takeOver promotes a replica and starts souk on it.
func (d *drill) takeOver(ctx context.Context, r *replica, s *souk, moment time.Time) error {
	if err := r.promote(ctx); err != nil {
		return err
	}
	d.souk = s
	if err := s.start(ctx); err != nil {
		return err
	}
	d.laps.done("standby promoted, souk ready in its region")
	if err := s.command(ctx, "verify", "--after-restore", moment.UTC().Format(time.RFC3339), "--repair"); err != nil {
		return err
	}
	d.laps.done("souk verify --after-restore: outboxes published again, clean")
	return nil
}

// copySecrets gives region b the configuration, keys and passwords of region a.
func (d *drill) copySecrets(ctx context.Context, a, b *souk) error {
	volumes := []string{"nats", "redis", "postgres", "dev.json"}
	entries, err := os.ReadDir(a.dir)
	if err != nil {
		return err
	}
	// Only the standby's files may be in its folder: it belongs to PostgreSQL's user.
	if err := exec.CommandContext(ctx, "mkdir", "-p", "-m", "711", b.dir, filepath.Join(b.dir, "postgres")).
		Run(); err != nil {
		return err
	}
	for _, e := range entries {
		if slices.Contains(volumes, e.Name()) {
			continue
		}
		from := filepath.Join(a.dir, e.Name())
		if out, err := exec.CommandContext(ctx, "cp", "-a", from, b.dir).CombinedOutput(); err != nil {
			return fmt.Errorf("copy %s: %w\n%s", from, err, out)
		}
	}
	passwords := filepath.Join(a.dir, "postgres", "passwords.json")
	out, err := exec.CommandContext(ctx, "cp", "-a", passwords, filepath.Join(b.dir, "postgres")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copy %s: %w\n%s", passwords, err, out)
	}
	return nil
}

// replica is a standby of another region's PostgreSQL.
type replica struct {
	d            *drill
	data, socket string
	running      bool
}

// replicate makes an empty region the standby of the region that serves.
func (d *drill) replicate(ctx context.Context, from, to *souk) (*replica, error) {
	u, err := url.Parse(from.databases["order"])
	if err != nil {
		return nil, err
	}
	r := &replica{
		d:      d,
		data:   filepath.Join(to.dir, "postgres", "data"),
		socket: filepath.Join(d.dir, "standby-"+filepath.Base(to.dir)),
	}
	for _, folder := range []string{r.data, r.socket} {
		if err := d.backup.own(folder, true); err != nil {
			return nil, err
		}
	}
	args := []string{
		"--host=" + u.Query().Get("host"), "--port=" + u.Query().Get("port"), "--username=postgres",
		"--pgdata=" + r.data, "--wal-method=stream", "--checkpoint=fast",
		"--write-recovery-conf", "--create-slot", "--slot=region_" + filepath.Base(to.dir),
	}
	if err := d.backup.do(ctx, filepath.Join(d.backup.bin, "pg_basebackup"), args...); err != nil {
		return nil, err
	}
	options := fmt.Sprintf(
		"-c port=5432 -c listen_addresses='' -c unix_socket_directories=%s -c max_connections=300 -c archive_mode=off",
		r.socket,
	)
	if err := d.backup.do(ctx, filepath.Join(d.backup.bin, "pg_ctl"), "-D", r.data, "-l",
		filepath.Join(r.socket, "log"), "-o", options, "-w", "-t", "300", "start"); err != nil {
		return nil, err
	}
	r.running = true
	return r, nil
}

// promote makes the replica a primary, and stops it: souk dev starts it again as its own.
func (r *replica) promote(ctx context.Context) error {
	ctl := filepath.Join(r.d.backup.bin, "pg_ctl")
	if err := r.d.backup.do(ctx, ctl, "-D", r.data, "-w", "-t", "300", "promote"); err != nil {
		return err
	}
	err := r.d.backup.do(ctx, ctl, "-D", r.data, "-m", "fast", "-w", "stop")
	r.running = err != nil
	return err
}

// stop stops a replica that was not promoted.
func (r *replica) stop(ctx context.Context) {
	if r.running {
		// An error means that it has ended.
		_ = r.d.backup.do(
			context.WithoutCancel(ctx),
			filepath.Join(r.d.backup.bin, "pg_ctl"),
			"-D",
			r.data,
			"-m",
			"immediate",
			"stop",
		)
	}
}
