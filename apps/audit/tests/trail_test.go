package tests

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"souk/apps/audit"
	auditv1 "souk/gen/go/souk/audit/v1"
	trail "souk/pkg/audit"
	"souk/pkg/errs"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

func TestAuditorsReadTheTrail(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.record(t, 30)
	list := func(req *auditv1.ListEntriesRequest) (seqs []int64) {
		for {
			res, err := h.audit.ListEntries(h.auditor(), req)
			require.NoError(t, err)
			for _, e := range res.GetEntries() {
				seqs = append(seqs, e.GetSeq())
			}
			if req.PageToken = res.GetNextPageToken(); req.PageToken == "" {
				return seqs
			}
		}
	}
	// The auditor's own reads follow.
	all := list(&auditv1.ListEntriesRequest{PageSize: 7, To: timestamppb.New(noon.Add(time.Hour))})
	require.Len(t, all, 30)
	require.EqualValues(t, 30, all[0], "the newest first")
	require.EqualValues(t, 1, all[29])
	require.Len(t, list(&auditv1.ListEntriesRequest{ActorId: "usr_1"}), 15)
	require.Len(t, list(&auditv1.ListEntriesRequest{Object: "shp_4"}), 1)
	require.Len(t, list(&auditv1.ListEntriesRequest{Action: "shop"}), 10)
	require.Len(t, list(&auditv1.ListEntriesRequest{Action: "shop.suspended"}), 10)
	require.Empty(t, list(&auditv1.ListEntriesRequest{Action: "sho"}))
	require.Len(t, list(&auditv1.ListEntriesRequest{
		From: timestamppb.New(noon.Add(10 * time.Minute)), To: timestamppb.New(noon.Add(20 * time.Minute)),
	}), 10)

	res, err := h.audit.ListEntries(h.auditor(), &auditv1.ListEntriesRequest{Object: "shp_3"})
	require.NoError(t, err)
	e := res.GetEntries()[0]
	require.Equal(t, "usr_1", e.GetActorId())
	require.Equal(t, "shop.suspended", e.GetAction())
	require.Equal(t, "203.0.113.7", e.GetAddress())
	require.Equal(t, noon.Add(3*time.Minute), e.GetAt().AsTime())

	for _, role := range []string{"customer", "operator", "support"} {
		_, err := h.audit.ListEntries(h.AsUser("usr_8", role), &auditv1.ListEntriesRequest{})
		require.Equal(t, errs.Forbidden, errs.CodeOf(err), role)
	}
	_, err = h.audit.ListEntries(h.auditor(), &auditv1.ListEntriesRequest{PageToken: "made up"})
	require.Equal(t, errs.Invalid, errs.CodeOf(err))
}

// lockAll waits for the service's transactions: an attack that deadlocks with one of them would fail.
const lockAll = `lock table chain; `

// attacks are what somebody may do who can write to the database.
var attacks = map[string]string{
	"edit":   `update entry set actor_id = 'usr_x' where seq = 5`,
	"delete": `delete from entry where seq = 5`,
	"truncation": `delete from entry where seq > 20;
		update chain set seq = 20, hash = (select hash from entry where seq = 20)`,
	"truncation with checkpoints": `delete from entry where seq > 20; delete from checkpoint;
		update chain set seq = 20, hash = (select hash from entry where seq = 20)`,
	"swap": `update entry set seq = case seq when 5 then 60 else 5 end where seq in (5, 6);
		update entry set seq = 6 where seq = 60`,
	"pruning":  `delete from entry where seq <= 5; update chain set base_seq = 5, base_hash = 'x'`,
	"all":      `truncate entry, checkpoint; update chain set seq = 0, hash = '', base_seq = 0`,
	"no chain": `delete from chain`,
}

func TestAlterationsAreFound(t *testing.T) {
	t.Parallel()
	for name, sql := range attacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			h.record(t, 30)
			waittest.Until(t, func() bool { return h.Metric("audit_trail_entries") == 30 }, "the trail is not checked")
			require.EqualValues(t, 1, h.Metric("audit_trail_intact"))
			_, err := h.Pool.Exec(t.Context(), lockAll+sql)
			require.NoError(t, err)
			waittest.Until(t, func() bool { return h.Metric("audit_trail_intact") == 0 }, "the attack is not found")
			require.Contains(t, h.Logs(), "the audit trail was altered")
		})
	}
}

func TestCheckpointsAreKeptElsewhere(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "checkpoints")
	h := setup(
		t,
		moduletest.Config(map[string]any{"checkpoint_file": file, "checkpoint_every": "1s", "verify_every": "1s"}),
	)
	h.record(t, 3)
	var lines []string
	waittest.Until(t, func() bool {
		raw, _ := os.ReadFile(file)
		lines = strings.Split(strings.TrimSpace(string(raw)), "\n")
		return strings.HasPrefix(lines[len(lines)-1], "3 ")
	}, "the last entry is not signed")
	waittest.Until(t, func() bool { return strings.Contains(h.Logs(), lines[0]) }, "the log has no checkpoint")
	require.Contains(t, h.Events("audit"), "evt.audit.checkpointed")
	c, err := trail.ParseCheckpoint(lines[len(lines)-1])
	require.NoError(t, err)
	// Nothing is signed twice.
	require.EqualValues(t, len(lines), moduletest.Value[int64](h.Service, `select count(*) from checkpoint`))

	key := h.key(t)
	kept := []trail.Checkpoint{c}
	last, err := audit.Verify(t.Context(), h.Pool, key, kept)
	require.NoError(t, err)
	require.EqualValues(t, 3, last.Seq)
	other, _, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	_, err = audit.Verify(t.Context(), h.Pool, other, kept)
	require.ErrorIs(t, err, trail.ErrAltered, "a key of another trail")
	_, err = h.Pool.Exec(t.Context(), lockAll+`truncate entry, checkpoint; update chain set seq = 0, hash = ''`)
	require.NoError(t, err)
	_, err = audit.Verify(t.Context(), h.Pool, key, nil)
	require.NoError(t, err, "nothing in the database shows it")
	_, err = audit.Verify(t.Context(), h.Pool, key, kept)
	require.ErrorIs(t, err, trail.ErrAltered)
}

// key returns the public key of the service's checkpoints.
func (*harness) key(t *testing.T) ed25519.PublicKey {
	t.Helper()
	cfg := audit.Default()
	key, err := cfg.SigningKey(func() ([]byte, error) { return []byte(strings.Repeat("s", 32)), nil })
	require.NoError(t, err)
	return key.Public().(ed25519.PublicKey)
}

func TestOldEntriesAreRemoved(t *testing.T) {
	t.Parallel()
	h := setup(t, moduletest.Config(map[string]any{"retain": "24h", "checkpoint_every": "1s", "verify_every": "1s"}))
	h.record(t, 5) // older than a day
	waittest.Until(t, func() bool {
		return moduletest.Value[int64](h.Service, `select count(*) from entry`) == 0
	}, "old entries stay")
	require.EqualValues(t, 5, moduletest.Value[int64](h.Service, `select base_seq from chain`))
	last, err := audit.Verify(t.Context(), h.Pool, h.key(t), nil)
	require.NoError(t, err)
	require.EqualValues(t, 5, last.Seq)
}

func TestMistakesInTheConfigurationAreNamed(t *testing.T) {
	t.Parallel()
	for field, change := range map[string]func(*audit.Config){
		"retain":           func(c *audit.Config) { c.Retain = time.Hour },
		"checkpoint_every": func(c *audit.Config) { c.CheckpointEvery = 0 },
		"verify_every":     func(c *audit.Config) { c.VerifyEvery = -1 },
	} {
		c := audit.Default()
		require.NoError(t, c.Validate())
		change(&c)
		require.ErrorContains(t, c.Validate(), field)
	}
}
