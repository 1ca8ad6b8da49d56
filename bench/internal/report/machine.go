//go:build linux

package report

import (
	"cmp"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Machine is what the figures were measured on.
type Machine struct {
	Cores     int    `json:"cores"`
	Processor string `json:"processor"`
	MemoryGiB int    `json:"memoryGiB"`
	Kernel    string `json:"kernel"`
	Go        string `json:"go"`
	Node      string `json:"node,omitempty"`
	Date      string `json:"date"`
}

// ThisMachine describes the machine by what it tells of itself; nothing names it.
func ThisMachine(now time.Time) Machine {
	m := Machine{
		Cores: runtime.NumCPU(), Processor: processor(), Go: strings.TrimPrefix(runtime.Version(), "go"),
		Date: now.UTC().Format(time.DateOnly),
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		const gib = 1 << 30
		m.MemoryGiB = int((uint64(info.Totalram)*uint64(info.Unit) + gib/2) / gib)
	}
	var uname unix.Utsname
	if unix.Uname(&uname) == nil {
		// What follows the version is the name of somebody's build.
		version, _, _ := strings.Cut(unix.ByteSliceToString(uname.Release[:]), "-")
		m.Kernel = "Linux " + version
	}
	if out, err := exec.Command("node", "--version").Output(); err == nil {
		m.Node = strings.TrimPrefix(strings.TrimSpace(string(out)), "v")
	}
	return m
}

func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // a machine may have no name for its processor
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return cmp.Or(runtime.GOARCH, "unknown")
}
