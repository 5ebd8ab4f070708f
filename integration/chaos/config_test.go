package chaos

import "fmt"

// The hosts and what runs on them: the clients send by RELP to a front relay, which sends on by RELP to one of two others with
// failover and failback, each of which sends on by TCP to one of two stores, which write files where the client can read them.
const (
	network   = "192.168.245.%d/24"
	frontAddr = "192.168.245.10"
	relayA    = "192.168.245.11"
	relayB    = "192.168.245.12"
	storeAddr = "192.168.245.20"
)

// receiveBuffer is that of all sources; what may be unread in it is sent again after a reset.
const receiveBuffer = 256 << 10

const options = `[options]
control_socket = "/run/%s.sock"
keep_hostname = true
time_reopen = "50ms"
drain_timeout = "3s"
`

// buffer keeps what a process that is killed had taken.
const buffer = `[destination.%[1]s.disk_buffer]
dir = "/tmp/queue-%[2]s"
reliable = true
`

// The drivers of sources and destinations: by RELP the window is as large as what a rate makes in half a second.
const (
	tcp      = `"network"`
	relp     = `"relp"`
	sendRELP = relp + "\nwindow = 1000"
)

// sourceText is a source. Change makes it, as the destinations below, another one to a reload.
func sourceText(name, driver string, port, change int) string {
	return fmt.Sprintf(`[source.%s]
driver = %s
port = %d
max_connections = %d
so_rcvbuf = %d
`, name, driver, port, 100+change, receiveBuffer)
}

func frontText(change int) string {
	return relayText("front", relp, sendRELP, relayA, relayB, 601, change)
}

// relayText is a relay that sends to a port of the first of two servers. Its times are short.
func relayText(name, from, to, first, second string, port, change int) string {
	return fmt.Sprintf(options, name) + sourceText("s", from, 601, change) + fmt.Sprintf(`[destination.d]
driver = %s
address = "%s"
port = %d
connect_timeout = "%ds"
dead_peer_timeout = "1s"
stall_timeout = "2s"
[destination.d.failover]
servers = ["%s"]
[destination.d.failover.failback]
tcp_probe_interval = "300ms"
successful_probes_required = 2
`, to, first, port, 1+change, second) + fmt.Sprintf(buffer, "d", name) + `[log.l]
source = ["s"]
destination = ["d"]
flags = ["flow_control"]
`
}

// storeText is a store with a port and a file for each of the two relays, so that the order of each can be judged.
func storeText(name, ip string, change int) string {
	text := fmt.Sprintf(options, name)
	for i, relay := range []string{"a", "b"} {
		text += sourceText(relay, tcp, 6000+i, change) + fmt.Sprintf("ip = %q\n", ip) + fmt.Sprintf(`[destination.%[1]s]
driver = "file"
path = "%[2]s"
log_fifo_size = %[3]d
`, relay, storeFile(name, relay), 10000+change) + fmt.Sprintf(buffer, relay, name) + fmt.Sprintf(`[log.%[1]s]
source = ["%[1]s"]
destination = ["%[1]s"]
flags = ["flow_control"]
`, relay)
	}
	return text
}

func storeFile(store, relay string) string { return fmt.Sprintf("/tmp/%s-%s.log", store, relay) }
