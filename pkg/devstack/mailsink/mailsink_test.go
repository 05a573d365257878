package mailsink_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/pkg/clock"
	"souk/pkg/devstack/mailsink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func setup(t *testing.T, keep int) *mailsink.Sink {
	t.Helper()
	s, err := mailsink.Start(t.Context(), mailsink.Options{Keep: keep, Clock: clock.NewManual(start)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(context.Background())) })
	return s
}

func send(t *testing.T, s *mailsink.Sink, to, message string) {
	t.Helper()
	message = strings.ReplaceAll(message, "\n", "\r\n")
	require.NoError(t, smtp.SendMail(s.Addr(), nil, "shop@souk.example", []string{to}, []byte(message)))
}

const alternative = `From: =?utf-8?q?Caf=C3=A9_Souk?= <shop@souk.example>
To: Ana <ana@example.com>
Subject: =?utf-8?b?UGVkaWRvIGNvbmZpcm1hZG8g4pyF?=
Date: Fri, 02 Jan 2026 00:04:05 -0300
Message-ID: <m1@souk.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=outer

--outer
Content-Type: multipart/alternative; boundary=inner

--inner
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Ol=E1 Ana, soft=
 break
--inner
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: base64

PGI+T2zDoTwvYj4=
--inner--
--outer
Content-Type: text/plain
Content-Disposition: attachment; filename=a.txt

not shown
--outer--
`

func TestMessageIsDecodedIntoItsParts(t *testing.T) {
	t.Parallel()
	s := setup(t, 0)
	send(t, s, "ana@example.com", alternative)
	m, err := s.Wait(t.Context(), "Ana@example.com")
	require.NoError(t, err)
	require.NotEmpty(t, m.ID)
	require.Equal(t, "Café Souk <shop@souk.example>", m.Headers["From"][0])
	m.ID, m.Headers = "", nil
	require.Equal(t, mailsink.Message{
		From: "shop@souk.example", To: []string{"ana@example.com"}, Subject: "Pedido confirmado ✅",
		Text: "Olá Ana, soft break", HTML: "<b>Olá</b>", MessageID: "m1@souk.example",
		Date: start, ReceivedAt: start,
	}, m)
}

func TestMalformedMailIsKeptAsText(t *testing.T) {
	t.Parallel()
	s := setup(t, 0)
	send(t, s, "a@example.com", "just words\n")
	require.Equal(t, "just words", strings.TrimSpace(s.Messages()[0].Text))
}

func TestOnlyTheLastMessagesAreKept(t *testing.T) {
	t.Parallel()
	s := setup(t, 3)
	for i := range 5 {
		send(t, s, "a@example.com", fmt.Sprintf("Subject: %d\n\nx\n", i))
	}
	var subjects []string
	for _, m := range s.Messages() {
		subjects = append(subjects, m.Subject)
	}
	require.Equal(t, []string{"4", "3", "2"}, subjects)
}

func TestMessagesAreListedAndDeletedOverHTTP(t *testing.T) {
	t.Parallel()
	s := setup(t, 0)
	send(t, s, "a@example.com", "Subject: one\n\nx\n")
	send(t, s, "b@example.com", "Subject: two\n\nx\n")
	get := func(query string) []mailsink.Message {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/dev/mail"+query, nil))
		require.Equal(t, http.StatusOK, w.Code)
		var answer struct{ Messages []mailsink.Message }
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
		return answer.Messages
	}
	require.Len(t, get(""), 2)
	require.Equal(t, "two", get("")[0].Subject)
	require.Len(t, get("?to=A@example.com"), 1)
	require.Empty(t, get("?to=c@example.com"))

	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodDelete, "/dev/mail", nil))
	require.Equal(t, http.StatusNoContent, w.Code)
	require.Empty(t, get(""))

	w = httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodPut, "/dev/mail", nil))
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
}

func TestWaitEndsWithItsContextAndStopMayBeCalledTwice(t *testing.T) {
	t.Parallel()
	s := setup(t, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Wait(ctx, "nobody@example.com")
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, s.Stop(t.Context()))
	require.NoError(t, s.Stop(t.Context()))
	require.Error(t, smtp.SendMail(s.Addr(), nil, "a@example.com", []string{"b@example.com"}, nil))
}

// The replies to pipelined commands are one packet, and the last reply is sent as well.
func TestPipelinedCommandsGetTheirRepliesInOnePacket(t *testing.T) {
	t.Parallel()
	s := setup(t, 0)
	conn, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	say := func(commands string) (codes []string) {
		_, err := io.WriteString(conn, commands)
		require.NoError(t, err)
		answers := make([]byte, 4096)
		n, err := conn.Read(answers)
		require.NoError(t, err)
		for line := range strings.Lines(string(answers[:n])) {
			codes = append(codes, line[:4])
		}
		return codes
	}
	require.Equal(t, []string{"220 "}, say(""))
	require.Equal(t, []string{"250 "}, say("HELO example.com\r\n"))
	require.Equal(t, []string{"250 ", "250 ", "354 "},
		say("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"))
	require.Equal(t, []string{"250 ", "221 "}, say("Subject: hello\r\n\r\nhello\r\n.\r\nQUIT\r\n"))
	_, err = conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, "hello", s.Messages()[0].Subject)
}
