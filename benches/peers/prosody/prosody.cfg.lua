-- Prosody as lean as it gets: nothing that the measure does not need, everything kept in memory, no TLS, no
-- limits. What stands between @ is filled in by the benchmark.
run_as_root = true
pidfile = "@DIR@/prosody.pid"
data_path = "@DIR@"
certificates = "@DIR@"
plugin_paths = { "@PLUGINS@" }

network_backend = "epoll"
-- Fewer and cheaper collections than the incremental ones that it has otherwise.
gc = { mode = "generational" }
log = { error = "@DIR@/prosody.log" }
statistics = nil

storage = "memory"
authentication = "internal_hashed"
c2s_require_encryption = false
s2s_require_encryption = false
s2s_secure_auth = false

interfaces = { "@IP@" }
c2s_ports = { @C2S@ }
s2s_ports = { @S2S@ }
c2s_direct_tls_ports = { }
s2s_direct_tls_ports = { }

-- No blocklist: without one its cache, however large, is never looked at.
modules_enabled = { @MODULES@ "saslauth", "bench_accounts" }
modules_disabled = { @WITHOUT@ "offline", "s2s_auth_certs" }
bench_accounts = { @ACCOUNTS@ }
bench_watchers = @WATCHERS@
@MORE@
VirtualHost "@DOMAIN@"
