// What people write first: the shortest configuration that forwards, with every limit as the program brings it. It shows
// which lines of docs/gateways.md are needed.

/** @type {Record<string, { configuration: string, start?: string }>} */
export const USUAL = {
  nginx: {
    configuration: `
upstream census { server 10.0.0.7:3000; }
server {
  listen 127.0.0.1:8080;
  location / { proxy_pass http://census/; }
}
server {
  listen 127.0.0.1:8081 http2;
  location / { proxy_pass http://census/; }
}`,
  },
  apache: {
    configuration: `
Listen 127.0.0.1:8080
Protocols h2c http/1.1
ProxyPass "/" "http://10.0.0.7:3000/"`,
  },
  caddy: {
    configuration: `{
  admin off
  servers {
    protocols h1 h2c
  }
}
http://:8080 {
  bind 127.0.0.1
  reverse_proxy 10.0.0.7:3000
}`,
  },
  varnish: {
    configuration: `vcl 4.1;
backend census { .host = "10.0.0.7:3000"; }`,
    start: 'varnishd -f census.vcl -a 127.0.0.1:8080 -s malloc,64m -p feature=+http2',
  },
  haproxy: {
    configuration: `
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend public
  bind 127.0.0.1:8080
  bind 127.0.0.1:8081 proto h2
  default_backend census
backend census
  server one 10.0.0.7:3000`,
  },
};
