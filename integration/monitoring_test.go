package integration

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kad/integration/lab"
)

const monitoring = "../examples/monitoring"

// TestAlertRules has promtool check the rules, and what they say in each of their own cases; there is a case for each alert.
func TestAlertRules(t *testing.T) {
	lab.New(t, lab.Options{}).Require("promtool")
	for _, rules := range []string{"forwarder-alerts", "kad-status-alerts"} {
		text, cases := readFile(t, monitoring, rules+".yml"), readFile(t, monitoring, rules+"_test.yml")
		for _, alert := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(text, -1) {
			if !strings.Contains(cases, "- alertname: "+alert[1]+"\n") {
				t.Errorf("%s has no case in %s_test.yml", alert[1], rules)
			}
		}
		for _, args := range [][]string{{"check", "rules", rules + ".yml"}, {"test", "rules", rules + "_test.yml"}} {
			cmd := exec.Command("promtool", args...)
			cmd.Dir = monitoring
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("promtool %q: %v\n%s", args, err, out)
			}
		}
	}
}

// TestDashboard: what Grafana cannot tell, as it opens any JSON.
func TestDashboard(t *testing.T) {
	taken := map[[2]int]string{}
	seen := map[int]bool{}
	for _, p := range readDashboard(t).Panels {
		if seen[p.ID] || p.Title == "" || len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %d, %q: an id that is taken, or no title, target or datasource", p.ID, p.Title)
		}
		seen[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%q stands on %q, or beyond the right border", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

// TestMonitoring has Prometheus scrape a forwarder and what kad-status says of a pair of relays, and asks it each question of the
// dashboard, and for each metric that an alert names: there are answers, with the labels that legends and annotations show.
func TestMonitoring(t *testing.T) {
	t.Parallel()
	p := lab.NewForwarderPair(t, bin, "../examples")
	p.Require("prometheus")
	p.Up()
	startWithMetrics(t, p.Client)
	for _, h := range p.Relays() {
		serveStatus(t, h)
	}
	prometheus := startPrometheus(t, p.Client)

	for _, panel := range readDashboard(t).Panels {
		for _, target := range panel.Targets {
			expr := strings.NewReplacer("$instance", ".*", "$__rate_interval", "10s").Replace(target.Expr)
			p.Eventually(time.Minute, func() error { return prometheus.knows(legendLabels.FindAllStringSubmatch(target.Legend, -1), expr) })
		}
	}
	var alerts []alert
	p.Eventually(time.Minute, func() (err error) {
		alerts, err = prometheus.alerts()
		return err
	})
	for _, a := range alerts {
		if a.Health != "ok" {
			t.Errorf("%s: %s %s", a.Name, a.Health, a.LastError)
		}
		shown := annotationLabels.FindAllStringSubmatch(a.Annotations.Summary, -1)
		p.Eventually(time.Minute, func() error { return prometheus.knows(shown, selectors.FindAllString(a.Query, -1)...) })
	}
}

var (
	legendLabels     = regexp.MustCompile(`{{(\w+)}}`)
	annotationLabels = regexp.MustCompile(`\$labels\.(\w+)`)
	// selectors finds the metrics in an expression, with the labels they are chosen by.
	selectors = regexp.MustCompile(`\b(forwarder|kad)_\w+({[^}]*})?|\bup{[^}]*}`)
)

// A dashboard is the part of Grafana's that is tested.
type dashboard struct {
	Panels []struct {
		ID         int
		Title      string
		GridPos    struct{ X, Y, W, H int }
		Datasource struct{ UID string }
		Targets    []struct {
			Expr   string
			Legend string `json:"legendFormat"`
		}
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(readFile(t, monitoring, "forwarder-dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Panels) == 0 {
		t.Fatal("the dashboard has no panels")
	}
	return d
}

// startWithMetrics starts the forwarder of examples/pair/client.toml with what the metrics speak of besides: a certificate, a VIP.
func startWithMetrics(t *testing.T, h *lab.Host) {
	t.Helper()
	cert, key := selfSigned(t)
	h.WriteFile("/etc/forwarder/cert.pem", cert, 0o600)
	h.WriteFile("/etc/forwarder/key.pem", key, 0o600)
	config := strings.Replace(readFile(t, "../examples/pair/client.toml"), "[options]", "[options]\nmetrics_listen = \":9104\"", 1) + `
[source.s_tls]
driver = "network"
transport = "tls"
port = 6514
tls = { cert_file = "/etc/forwarder/cert.pem", key_file = "/etc/forwarder/key.pem", peer_verify = "none" }

[source.s_stream]
driver = "nats"
servers = ["nats://127.0.0.1:4222"]
stream = "LOGS"
consumer = "nobody"

[log.tls]
source = ["s_tls", "s_stream"]
steps = [{ filter = 'vip_held("192.168.245.100")' }]
destination = ["d_loghost"]
`
	h.WriteFile("/etc/forwarder/forwarder.toml", []byte(config), 0o600)
	h.Start(lab.Forwarder)
	h.AwaitListener("tcp", "127.0.0.1:9104")
}

func selfSigned(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"client"}, NotAfter: time.Now().Add(24 * time.Hour)}
	cert, err = x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	if key, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
}

// serveStatus serves what kad-status says on a host now in the place of its node_exporter.
func serveStatus(t *testing.T, h *lab.Host) {
	t.Helper()
	status := h.Run("kad-status", "-o", "prometheus")
	if status.Code != 0 {
		t.Fatalf("kad-status on %s: exit %d: %s", h.Name, status.Code, status.Stderr)
	}
	var l net.Listener
	err := h.Do(func() (err error) {
		l, err = net.Listen("tcp", ":9100")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, status.Stdout) })}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
}

const prometheusConfig = `
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [/tmp/*-alerts.yml]
scrape_configs:
  - { job_name: forwarder, static_configs: [{ targets: ['client:9104'] }] }
  - { job_name: node, static_configs: [{ targets: ['loghost01:9100', 'loghost02:9100'] }] }
`

// A prometheus is asked over its API.
type prometheus struct{ client *http.Client }

// startPrometheus starts Prometheus on a host, with the alerts of the examples.
func startPrometheus(t *testing.T, h *lab.Host) *prometheus {
	t.Helper()
	for _, file := range []string{"forwarder-alerts.yml", "kad-status-alerts.yml"} {
		h.WriteFile("/tmp/"+file, []byte(readFile(t, monitoring, file)), 0o644)
	}
	h.WriteFile("/tmp/prometheus.yml", []byte(prometheusConfig), 0o644)
	h.Start(lab.Program{Name: "prometheus", Argv: []string{"prometheus", "--config.file=/tmp/prometheus.yml",
		"--storage.tsdb.path=/tmp/prometheus", "--web.listen-address=127.0.0.1:9090"}})
	h.AwaitListener("tcp", "127.0.0.1:9090")
	dial := func(context.Context, string, string) (conn net.Conn, err error) {
		err = h.Do(func() error {
			conn, err = net.Dial("tcp", "127.0.0.1:9090")
			return err
		})
		return conn, err
	}
	return &prometheus{&http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: 10 * time.Second}}
}

// get fills data with what the API has at path.
func (p *prometheus) get(path string, data any) error {
	response, err := p.client.Get("http://prometheus/api/v1/" + path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer := struct {
		Data  any
		Error string
	}{Data: data}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %s: %w", path, response.Status, err)
	}
	if answer.Error != "" {
		return errors.New(answer.Error)
	}
	return nil
}

// knows tells whether there is an answer to each expression, and whether one of them has the labels that something shows.
func (p *prometheus) knows(shown [][]string, exprs ...string) error {
	had := map[string]bool{}
	for _, expr := range exprs {
		var answer struct {
			Result []struct{ Metric map[string]string }
		}
		if err := p.get("query?query="+url.QueryEscape(expr), &answer); err != nil {
			return fmt.Errorf("%s: %w", expr, err)
		}
		if len(answer.Result) == 0 {
			return fmt.Errorf("%s: no series", expr)
		}
		for _, series := range answer.Result {
			for label := range series.Metric {
				had[label] = true
			}
		}
	}
	for _, label := range shown {
		if !had[label[1]] {
			return fmt.Errorf("%q: no label %s", exprs, label[1])
		}
	}
	return nil
}

// An alert is what Prometheus has made of a rule.
type alert struct {
	Name, Query, Health, LastError string
	Annotations                    struct{ Summary string }
}

// alerts returns all that Prometheus has, once it has evaluated them.
func (p *prometheus) alerts() (all []alert, err error) {
	var answer struct{ Groups []struct{ Rules []alert } }
	if err := p.get("rules?type=alert", &answer); err != nil {
		return nil, err
	}
	for _, group := range answer.Groups {
		all = append(all, group.Rules...)
	}
	if len(all) == 0 || slices.ContainsFunc(all, func(a alert) bool { return a.Health == "unknown" }) {
		return nil, fmt.Errorf("not evaluated yet: %+v", all)
	}
	return all, nil
}

func readFile(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
