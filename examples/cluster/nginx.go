package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

// nginxConfig has the nodes take turns: any of them serves any client, and no request has to find the node that
// another went to. A node that cannot be reached is left out for a while.
var nginxConfig = template.Must(template.New("nginx.conf").Parse(`
daemon off;
worker_processes 1;
pid {{.Dir}}/nginx.pid;
error_log stderr crit;
events {}
http {
	access_log off;
	client_body_temp_path {{.Dir}}/body;
	proxy_temp_path {{.Dir}}/proxy;
	fastcgi_temp_path {{.Dir}}/fastcgi;
	uwsgi_temp_path {{.Dir}}/uwsgi;
	scgi_temp_path {{.Dir}}/scgi;

	upstream herald {
{{- range .Nodes}}
		server {{.}} max_fails=1 fail_timeout=2s;
{{- end}}
	}
	map $http_upgrade $connection_upgrade {
		default upgrade;
		""      "";
	}
	server {
		listen {{.Front}};
		proxy_http_version 1.1;

		location / {
			proxy_pass http://{{.App}};
		}
		location ~ ^/(ws|events|api/v1/events/stream)(/|$) {
			proxy_pass http://herald;
			proxy_set_header Host $http_host;
			proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection $connection_upgrade;
		}
	}
}
`))

// nginx writes its configuration and is the command that runs it.
func nginx(dir, front, app string, members []string, log io.Writer) (*exec.Cmd, error) {
	var text strings.Builder
	err := nginxConfig.Execute(&text, struct {
		Dir, Front, App string
		Nodes           []string
	}{dir, front, app, members})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		return nil, err
	}
	c := exec.Command(program(), "-p", dir, "-e", "stderr", "-c", file)
	c.Stdout, c.Stderr = log, log
	return c, nil
}

// program is nginx, which Debian keeps where the PATH of users does not look.
func program() string {
	if path, err := exec.LookPath("nginx"); err == nil {
		return path
	}
	return "/usr/sbin/nginx"
}
