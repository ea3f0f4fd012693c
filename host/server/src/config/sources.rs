//! Joins flags, environment and file into one [`Config`], and tells every mistake at once.
//!
//! Knows nothing of processes: the caller brings the texts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use walker_model::{Quotas, SetQuotas};

use super::{BODIES_FOR_ONE, Config, PlainHttp, Secret, cors, parse, proxies, quotas, tls};
use crate::quotas::QuotaRules;
use crate::telemetry;

/// Shorter ones would end while being used; longer ones are what keys are for.
const SESSION: std::ops::RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(365 * 86_400);

/// Where settings come from.
pub struct Sources<'a> {
    /// What the command line gave, by the key of the TOML file.
    pub flags: Vec<(&'static str, String)>,
    /// Looks a variable up.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The TOML file's path and text.
    pub file: Option<(PathBuf, String)>,
}

/// Everything that was wrong, one line for each mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Invalid(pub Vec<String>);

impl fmt::Display for Invalid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.join("\n"))
    }
}

impl Config {
    /// Reads every setting from the first source that has it.
    ///
    /// # Errors
    /// Every mistake in any source that counts, and every key of the file that names no setting.
    pub fn load(sources: Sources<'_>) -> Result<Self, Invalid> {
        let mut config = Self::default();
        let mut from = Reader::new(sources);
        from.read("listen", "WALKER_LISTEN", &mut config.listen, parse::address);
        let (mut cert, mut key) = (None, None);
        from.read("tls_cert", "WALKER_TLS_CERT", &mut cert, |text| parse::path(text).map(Some));
        from.read("tls_key", "WALKER_TLS_KEY", &mut key, |text| parse::path(text).map(Some));
        from.read("plain_http", "WALKER_PLAIN_HTTP", &mut config.plain_http, PlainHttp::parse);
        from.read("data_dir", "WALKER_DATA_DIR", &mut config.data_dir, parse::path);
        from.read("database_url", "DATABASE_URL", &mut config.database_url, database_url);
        from.read("threads", "WALKER_THREADS", &mut config.threads, parse::count);
        from.read("role", "WALKER_ROLE", &mut config.role, str::parse);
        from.read("operator_token", "WALKER_OPERATOR_TOKEN", &mut config.operator_token, operator_token);
        from.read("log_format", "WALKER_LOG_FORMAT", &mut config.log_format, str::parse);
        from.read("log", "WALKER_LOG", &mut config.log_filter, |text| match telemetry::filter(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(_) => Err("expected a filter such as info or info,walker_server=debug".to_owned()),
        });
        from.read("slots", "WALKER_SLOTS", &mut config.slots, parse::count);
        from.read("runs_memory_bytes", "WALKER_RUNS_MEMORY_BYTES", &mut config.runs_memory_bytes, parse::bytes);
        from.read("bodies_memory_bytes", "WALKER_BODIES_MEMORY_BYTES", &mut config.bodies_memory_bytes, parse::bytes);
        from.read("clock_resolution", "WALKER_CLOCK_RESOLUTION", &mut config.clock_resolution, parse::some_time);
        from.read("grace", "WALKER_GRACE", &mut config.grace, parse::duration);
        from.read("max_body_bytes", "WALKER_MAX_BODY_BYTES", &mut config.max_body_bytes, parse::bytes);
        if config.bodies_memory_bytes / BODIES_FOR_ONE < config.max_body_bytes {
            from.mistakes.push(format!(
                "bodies_memory_bytes: expected at least {BODIES_FOR_ONE} times max_body_bytes, {}",
                config.max_body_bytes.saturating_mul(BODIES_FOR_ONE)
            ));
        }
        from.read("module_cache_bytes", "WALKER_MODULE_CACHE_BYTES", &mut config.module_cache_bytes, parse::bytes);
        from.read("module_disk_bytes", "WALKER_MODULE_DISK_BYTES", &mut config.module_disk_bytes, parse::bytes);
        from.read("keep_days", "WALKER_KEEP_DAYS", &mut config.keep_days, parse::days);
        from.quotas(&mut config.quotas);
        from.table("jail", &mut config.jail);
        let to = &mut config.connections;
        from.read("max_connections", "WALKER_MAX_CONNECTIONS", &mut to.max, parse::count);
        from.read("head_timeout", "WALKER_HEAD_TIMEOUT", &mut to.head_timeout, parse::some_time);
        from.read("idle_timeout", "WALKER_IDLE_TIMEOUT", &mut to.idle_timeout, parse::some_time);
        from.read("transfer_timeout", "WALKER_TRANSFER_TIMEOUT", &mut to.transfer_timeout, parse::some_time);
        from.read("transfer_min_bytes", "WALKER_TRANSFER_MIN_BYTES", &mut to.transfer_min_bytes, parse::bytes);
        let to = &mut config.logins;
        from.read("logins_per_address", "WALKER_LOGINS_PER_ADDRESS", &mut to.per_address, parse::number);
        from.read("logins_per_account", "WALKER_LOGINS_PER_ACCOUNT", &mut to.per_account, parse::number);
        from.read("session_lifetime", "WALKER_SESSION_LIFETIME", &mut config.session_lifetime, |text| {
            parse::duration(text)
                .ok()
                .filter(|lifetime| SESSION.contains(lifetime))
                .ok_or_else(|| "expected a duration from 1m to 8760h".to_owned())
        });
        let to = &mut config.proxies;
        from.read_list("trusted_proxies", "WALKER_TRUSTED_PROXIES", &mut to.trusted, proxies::network);
        from.read_list("cors_origins", "WALKER_CORS_ORIGINS", &mut config.cors_origins, cors::origin);
        from.read("forwarded_header", "WALKER_FORWARDED_HEADER", &mut to.header, proxies::header);
        let reachable = tls::files(cert, key).and_then(|files| {
            config.tls = files;
            tls::check(config.listen, config.tls.as_ref(), config.plain_http)
        });
        from.mistakes.extend(reachable.err());
        from.finish().map(|()| config)
    }
}

fn database_url(text: &str) -> Result<Option<Secret>, String> {
    // The parser's message may quote the URL, and with it the password.
    match text.parse::<tokio_postgres::Config>() {
        Ok(_) => Ok(Some(Secret::new(text))),
        Err(_) => Err("expected postgres://user:password@host:port/database".to_owned()),
    }
}

fn operator_token(text: &str) -> Result<Option<Secret>, String> {
    // 128 bits, in the densest alphabet that anyone would type.
    const MIN: usize = 20;
    if text.len() < MIN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("expected at least {MIN} printable ASCII characters without spaces"));
    }
    Ok(Some(Secret::new(text)))
}

/// What is left to read, and what was wrong so far.
struct Reader<'a> {
    flags: Vec<(&'static str, String)>,
    env: &'a dyn Fn(&str) -> Option<String>,
    path: PathBuf,
    table: toml::Table,
    mistakes: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(Sources { flags, env, file }: Sources<'a>) -> Self {
        let mut mistakes = Vec::new();
        let (path, text) = file.unwrap_or_default();
        let table = text.parse().unwrap_or_else(|error: toml::de::Error| {
            mistakes.push(format!("{}: {}", path.display(), error.to_string().trim_end()));
            toml::Table::new()
        });
        Self { flags, env, path, table, mistakes }
    }

    /// Sets `to` from the first source that has `key`; a source further back is then not even looked at.
    fn read<T>(&mut self, key: &'static str, variable: &str, to: &mut T, parse: impl Fn(&str) -> Result<T, String>) {
        let Some((place, value)) = self.given(key, variable) else { return };
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(is_so) => is_so.to_string(),
            other => {
                let kind = other.type_str();
                self.mistakes.push(format!("{place}: expected a text, a number, or true or false, not {kind}"));
                return;
            }
        };
        match parse(&text) {
            Ok(value) => *to = value,
            Err(expected) if is_secret(key) => self.mistakes.push(format!("{place}: {expected}")),
            Err(expected) => self.mistakes.push(format!("{place}: {expected}, not {text:?}")),
        }
    }

    /// The same for a setting that is a list.
    fn read_list<T>(
        &mut self,
        key: &'static str,
        variable: &str,
        to: &mut Vec<T>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) {
        let Some((place, value)) = self.given(key, variable) else { return };
        let texts: Option<Vec<String>> = match value {
            toml::Value::String(text) => {
                Some(text.split(',').map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect())
            }
            toml::Value::Array(values) => values.iter().map(|value| value.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        let Some(texts) = texts else {
            self.mistakes.push(format!("{place}: expected a list of texts"));
            return;
        };
        to.clear();
        for text in texts {
            match parse(&text) {
                Ok(value) => to.push(value),
                Err(expected) => self.mistakes.push(format!("{place}: {expected}, not {text:?}")),
            }
        }
    }

    /// What the first source that has `key` says, and where.
    fn given(&mut self, key: &'static str, variable: &str) -> Option<(String, toml::Value)> {
        // Taken out in any case: what stays behind in the table is unknown.
        let in_file = self.table.remove(key);
        let flag = self.flags.iter().find(|(name, _)| *name == key).map(|(_, text)| text.clone());
        if let Some(text) = flag {
            return Some((format!("--{}", key.replace('_', "-")), text.into()));
        }
        if let Some(text) = (self.env)(variable) {
            return Some((variable.to_owned(), text.into()));
        }
        in_file.map(|value| (format!("{}: {key}", self.path.display()), value))
    }

    /// Reads `[limits]` and `[ceiling]`.
    fn quotas(&mut self, to: &mut QuotaRules) {
        let (limits, ceiling) = (self.quota_table("limits"), self.quota_table("ceiling"));
        match quotas::rules(&limits, &ceiling) {
            Ok(rules) => *to = rules,
            Err(mistakes) => {
                let path = self.path.display();
                self.mistakes.extend(mistakes.into_iter().map(|mistake| format!("{path}: {mistake}")));
            }
        }
    }

    fn quota_table(&mut self, table: &str) -> SetQuotas {
        let Some(value) = self.table.remove(table) else { return SetQuotas::new() };
        let place = format!("{}: {table}", self.path.display());
        let toml::Value::Table(given) = value else {
            self.mistakes.push(format!("{place}: expected a table"));
            return SetQuotas::new();
        };
        let mut set = SetQuotas::new();
        for (key, value) in given {
            let known = Quotas::DEFAULT.get(&key).ok_or_else(|| "there is no such limit".to_owned());
            match known.and_then(|_| quotas::value(&key, &value)) {
                Ok(value) => drop(set.insert(key, value)),
                Err(mistake) => self.mistakes.push(format!("{place}.{key}: {mistake}")),
            }
        }
        set
    }

    /// Reads a table one key at a time, so that each mistake is told.
    fn table<T: DeserializeOwned>(&mut self, name: &str, to: &mut T) {
        let Some(value) = self.table.remove(name) else { return };
        let place = format!("{}: {name}", self.path.display());
        let toml::Value::Table(given) = value else {
            self.mistakes.push(format!("{place}: expected a table"));
            return;
        };
        for (key, value) in &given {
            let one = toml::Table::from_iter([(key.clone(), value.clone())]);
            if let Err(error) = one.try_into::<T>() {
                let message = error.message().split(", expected one of").next().unwrap_or_default().to_owned();
                self.mistakes.push(format!("{place}.{key}: {message}"));
            }
        }
        // Mistakes were told above; then the whole is not used anyway.
        if let Ok(table) = given.try_into() {
            *to = table;
        }
    }

    fn finish(mut self) -> Result<(), Invalid> {
        let path: &Path = &self.path;
        self.mistakes
            .extend(self.table.keys().map(|key| format!("{}: {key}: there is no such setting", path.display())));
        if self.mistakes.is_empty() { Ok(()) } else { Err(Invalid(self.mistakes)) }
    }
}

fn is_secret(key: &str) -> bool {
    matches!(key, "database_url" | "operator_token")
}

#[cfg(test)]
mod tests {
    use walker_model::Limits;

    use walker_sandbox::JailLimits;

    use super::*;
    use crate::config::{Connections, ForwardedHeader, LogFormat, Proxies, Role, TlsFiles};

    fn load(flags: &[(&'static str, &str)], env: &[(&str, &str)], file: &str) -> Result<Config, Vec<String>> {
        Config::load(Sources {
            flags: flags.iter().map(|(key, text)| (*key, (*text).to_owned())).collect(),
            env: &|name| env.iter().find(|(key, _)| *key == name).map(|(_, text)| (*text).to_owned()),
            file: Some((PathBuf::from("walker.toml"), file.to_owned())),
        })
        .map_err(|invalid| invalid.0)
    }

    #[test]
    fn nothing_given_is_the_default() {
        let config = load(&[], &[], "").unwrap();
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn a_flag_beats_the_environment_beats_the_file() {
        let file = "listen = '127.0.0.1:3'\nthreads = 3\nslots = 3\ngrace = '3s'\n[limits]\nfuel = 3\n";
        let env = [("WALKER_LISTEN", "127.0.0.1:2"), ("WALKER_THREADS", "2")];
        let config = load(&[("listen", "127.0.0.1:1")], &env, file).unwrap();
        assert_eq!((config.listen.port(), config.threads, config.slots), (1, 2, 3));
        assert_eq!(config.grace, Duration::from_secs(3));
        assert_eq!(config.quotas.default.limits, Limits { fuel: 3, ..Limits::default() });
    }

    #[test]
    fn every_setting_is_read() {
        let file = "data_dir = '/srv/w'\nrole = 'runner'\nlog_format = 'json'\nlog = 'warn'\n\
                    max_body_bytes = 7\nmodule_cache_bytes = '2GiB'\nmodule_disk_bytes = '3GiB'\ndatabase_url = 'postgres://u:p@h/d'\n\
                    listen = '0.0.0.0:1'\ntls_cert = '/c.pem'\ntls_key = '/k.pem'\nplain_http = false\n\
                    operator_token = '0123456789abcdefghij'\n\
                    clock_resolution = '100ms'\nmax_connections = 5\nhead_timeout = '1s'\n\
                    logins_per_address = 8\nlogins_per_account = 9\nsession_lifetime = '2h'\n\
                    trusted_proxies = ['10.0.0.1', '10.1.0.0/16']\nforwarded_header = 'forwarded'\ncors_origins = ['https://app.example']\n\
                    idle_timeout = '2s'\ntransfer_timeout = '3s'\ntransfer_min_bytes = '1KiB'\n\
                    [limits]\ntime_ms = '5s'\nlive_walkers = 7\nmodule_bytes = '1MiB'\ncompile_ms = '5s'\n[ceiling]\nmemory_bytes = '64MiB'\n";
        let config = load(&[], &[], file).unwrap();
        assert_eq!(
            (config.role, config.log_format, config.log_filter.as_str()),
            (Role::Runner, LogFormat::Json, "warn")
        );
        assert_eq!(config.max_body_bytes, 7);
        assert_eq!((config.module_cache_bytes, config.module_disk_bytes), (2 << 30, 3 << 30));
        let file = "[jail]\nwall_seconds = 3\n[jail.bounds]\nglobals = 7\n";
        let jail = load(&[], &[], file).unwrap().jail;
        assert_eq!((jail.wall_seconds, jail.bounds.globals), (3, 7));
        assert_eq!(jail.bounds.names, JailLimits::default().bounds.names);
        assert_eq!(config.data_dir, Path::new("/srv/w"));
        assert_eq!((config.logins.per_address.get(), config.logins.per_account.get()), (8, 9));
        assert_eq!(config.clock_resolution, Duration::from_millis(100));
        assert_eq!(config.session_lifetime, Duration::from_secs(7_200));
        assert_eq!(config.cors_origins, ["https://app.example"]);
        let trusted = ["10.0.0.1/32", "10.1.0.0/16"].map(|network| network.parse().unwrap()).to_vec();
        assert_eq!(config.proxies.clone(), Proxies { trusted, header: ForwardedHeader::Forwarded });
        let tls = TlsFiles { cert: "/c.pem".into(), key: "/k.pem".into() };
        assert_eq!((config.tls.clone(), config.plain_http), (Some(tls), PlainHttp::OnLoopback));
        let connections = Connections {
            max: 5,
            head_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(2),
            transfer_timeout: Duration::from_secs(3),
            transfer_min_bytes: 1 << 10,
        };
        assert_eq!(config.connections, connections);
        assert_eq!(config.database_url.as_ref().unwrap().expose(), "postgres://u:p@h/d");
        let QuotaRules { default, ceiling } = config.quotas;
        assert_eq!((default.limits.time_ms, default.tenant.live_walkers), (5_000, 7));
        assert_eq!((default.upload.module_bytes, default.upload.compile_ms), (1 << 20, 5_000));
        assert_eq!((default.limits.memory_bytes, ceiling.0.limits.memory_bytes), (64 << 20, 64 << 20));
        let printed = format!("{config:?}");
        assert!(!printed.contains("u:p@h") && !printed.contains("0123456789"), "{printed}");
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let file = "threads = 0\nslot = 1\nrole = ['all']\n\
                    [limits]\nfuel = -1\nfeul = 2\nreports = 6\n[ceiling]\nreports = 5\nfuel = true\nstack_bytes = 1\ncore_instances = 1001\n\
                    [jail]\nwall_seconds = 1\n[jail.bounds]\nlocalls = 1\n";
        let env = [("WALKER_LISTEN", "nowhere"), ("WALKER_OPERATOR_TOKEN", "hunter2")];
        let mistakes = load(&[("log_format", "xml")], &env, file).unwrap_err();
        for (place, mention) in [
            ("WALKER_LISTEN", "\"nowhere\""),
            ("WALKER_OPERATOR_TOKEN", "at least"),
            ("--log-format", "\"xml\""),
            ("walker.toml: threads", "at least 1"),
            ("walker.toml: role", "array"),
            ("walker.toml: slot:", "no such setting"),
            ("walker.toml: limits.fuel", "-1"),
            ("walker.toml: limits.feul", "no such limit"),
            ("walker.toml: limits.reports", "above ceiling.reports, 5"),
            ("walker.toml: ceiling.fuel", "true"),
            ("walker.toml: ceiling.stack_bytes", "64KiB"),
            ("walker.toml: ceiling.core_instances", "1000"),
            ("walker.toml: jail.bounds", "unknown field `localls`"),
        ] {
            let found = mistakes.iter().find(|line| line.starts_with(place));
            assert!(found.is_some_and(|line| line.contains(mention)), "{place}: {mistakes:#?}");
        }
        assert_eq!(mistakes.len(), 13, "{mistakes:#?}");
        assert!(!mistakes.concat().contains("hunter2"));
    }

    #[test]
    fn what_goes_together_is_looked_at_together() {
        let open = load(&[("listen", "0.0.0.0:1")], &[], "").unwrap_err();
        assert!(open.len() == 1 && open[0].contains("--plain-http"), "{open:?}");
        assert!(load(&[("listen", "0.0.0.0:1"), ("plain_http", "true")], &[], "").is_ok());
        assert!(load(&[("listen", "0.0.0.0:1")], &[], "plain_http = true").is_ok());
        let from_env = load(&[], &[("WALKER_TRUSTED_PROXIES", "10.0.0.1, fd00::/8")], "").unwrap();
        assert_eq!(from_env.proxies.trusted.len(), 2);
        for (file, mention) in [
            ("trusted_proxies = ['10.0.0.1', 'x']", "\"x\""),
            ("trusted_proxies = [1]", "list of texts"),
            ("trusted_proxies = 1", "list of texts"),
            ("session_lifetime = '1s'", "8760h"),
            ("logins_per_account = 0", "at least 1"),
            ("max_body_bytes = 100\nbodies_memory_bytes = 399", "times max_body_bytes, 400"),
        ] {
            let mistakes = load(&[], &[], file).unwrap_err();
            assert!(mistakes.len() == 1 && mistakes[0].contains(mention), "{mistakes:?}");
        }
        let half = load(&[("tls_cert", "c.pem"), ("listen", "0.0.0.0:1")], &[], "").unwrap_err();
        assert!(half.len() == 1 && half[0].contains("--tls-key"), "{half:?}");
    }

    #[test]
    fn a_file_that_is_not_toml_is_one_mistake() {
        let mistakes = load(&[], &[], "listen 8000").unwrap_err();
        assert_eq!(mistakes.len(), 1);
        assert!(mistakes[0].starts_with("walker.toml: "), "{mistakes:?}");
    }
}
