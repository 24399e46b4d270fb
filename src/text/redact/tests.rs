//! A corpus of secrets and of what only looks like one. `<n>` stands for n characters of a made-up token, so that no
//! scanner takes this file for a leak.

use super::*;

fn redact(text: &str) -> Cow<'_, str> {
    Redactor::default().redact(text)
}

/// A text with every `<n>` filled in.
fn filled(text: &str) -> String {
    let mut out = String::new();
    for part in text.split('<') {
        match part.split_once('>').and_then(|(n, rest)| Some((n.parse::<usize>().ok()?, rest))) {
            Some((n, rest)) => {
                out.extend("A1b2C3d4E5f6G7h8".chars().cycle().take(n));
                out.push_str(rest);
            }
            None => out.push_str(part),
        }
    }
    out
}

const SECRETS: [(&str, &str); 66] = [
    // Tokens by their beginnings.
    ("key sk-ant-api03-AbC_d-9 used", "key sk-ant-[redacted] used"),
    ("sk-ant-oat01-<40>", "sk-ant-[redacted]"),
    ("sk-proj-<40>", "sk-proj-[redacted]"),
    ("sk-<48>", "sk-[redacted]"),
    ("ghp_<36>", "ghp_[redacted]"),
    ("(gho_<36>)", "(gho_[redacted])"),
    ("ghr_<16> ghu_<16>", "ghr_[redacted] ghu_[redacted]"),
    ("github_pat_<22>_<59>", "github_pat_[redacted]"),
    ("id=AKIA<16>,", "id=AKIA[redacted],"),
    ("ASIA<16>", "ASIA[redacted]"),
    ("xoxb-<12>-<24>", "xoxb-[redacted]"),
    (
        "xoxp-<12> xoxa-<12> xoxr-<12> xoxs-<12>",
        "xoxp-[redacted] xoxa-[redacted] xoxr-[redacted] xoxs-[redacted]",
    ),
    ("xapp-1-<30>", "xapp-[redacted]"),
    ("glpat-<20>", "glpat-[redacted]"),
    ("npm_<36>", "npm_[redacted]"),
    ("pypi-AgE<40>", "pypi-AgE[redacted]"),
    ("hf_<34>", "hf_[redacted]"),
    ("?key=AIza<35>&x=1", "?key=AIza[redacted]&x=1"),
    ("dckr_pat_<27>", "dckr_pat_[redacted]"),
    ("sk_live_<24>", "sk_live_[redacted]"),
    ("ya29.<40>", "ya29.[redacted]"),
    (
        "https://hooks.slack.com/services/T000/B000/<24> said",
        "https://hooks.slack.com/services/[redacted] said",
    ),
    ("https://discord.com/api/webhooks/1/<24>", "https://discord.com/api/webhooks/[redacted]"),
    (r"\nsk-ant-api03-<16>", r"\nsk-ant-[redacted]"),
    ("--key-ghp_<16>", "--key-ghp_[redacted]"),
    ("MY_sk-ant-api03-AbCd", "MY_sk-ant-[redacted]"),
    ("üñ sk-ant-abcd ü", "üñ sk-ant-[redacted] ü"),
    ("id eyJ<20>.eyJ<40>.<30> end", "id eyJ[redacted] end"),
    // Headers.
    ("Authorization: Bearer abcdef0123456789", "Authorization: Bearer [redacted]"),
    ("authorization: Basic dXNlcjpwYXNz==", "authorization: Basic [redacted]"),
    (r#"{"Authorization":"token 0123456789"}"#, r#"{"Authorization":"token [redacted]"}"#),
    (r#"{\"x-api-key\": \"hush-hush\"}"#, r#"{\"x-api-key\": \"[redacted]\"}"#),
    ("curl -H 'X-Api-Key: hush'", "curl -H 'X-Api-Key: [redacted]'"),
    ("-H \"Proxy-Authorization: Basic aGk6aG8=\"", "-H \"Proxy-Authorization: Basic [redacted]\""),
    ("Bearer eyJhbGciOi.eyJzdWIi.sig", "Bearer [redacted]"),
    ("PRIVATE-TOKEN: glimmer7", "PRIVATE-TOKEN: [redacted]"),
    // Assignments.
    ("ANTHROPIC_API_KEY=abc123 claude", "ANTHROPIC_API_KEY=[redacted] claude"),
    ("export AWS_SECRET_ACCESS_KEY='wJalr/K7+x'", "export AWS_SECRET_ACCESS_KEY='[redacted]'"),
    (r#""SecretAccessKey": "wJalr+K7/x""#, r#""SecretAccessKey": "[redacted]""#),
    ("password=hunter2", "password=[redacted]"),
    ("password: hunter", "password: [redacted]"),
    ("--password hunter --token=<20>", "--password hunter --token=[redacted]"),
    ("token: <20>", "token: [redacted]"),
    (r#"dbPassword = "two words", next"#, r#"dbPassword = "[redacted]", next"#),
    ("client_secret=a;user=b", "client_secret=[redacted];user=b"),
    ("/cb?access_token=<20>&state=1", "/cb?access_token=[redacted]&state=1"),
    ("{'apiKey': 'k-12'}", "{'apiKey': '[redacted]'}"),
    (
        r#"{"private_key":"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"}"#,
        r#"{"private_key":"[redacted]"}"#,
    ),
    ("AccountKey=<44>==;Endpoint=x", "AccountKey=[redacted];Endpoint=x"),
    ("PGPASSWORD=x psql", "PGPASSWORD=[redacted] psql"),
    ("MY_PWD=abc", "MY_PWD=[redacted]"),
    ("secret => 'x1'", "secret => '[redacted]'"),
    ("TOKEN=sk-ant-api03-<40>", "TOKEN=[redacted]"),
    // URLs.
    ("https://u:ghs_<16>@github.com", "https://u:[redacted]@github.com"),
    ("postgres://app:pa/ss:w@rd@db:5432/x", "postgres://app:[redacted]@db:5432/x"),
    ("DATABASE_URL=mysql://root:r00t@127.0.0.1/db", "DATABASE_URL=mysql://root:[redacted]@127.0.0.1/db"),
    ("redis://:pw@cache:6379", "redis://:[redacted]@cache:6379"),
    ("https://<40>@github.com/o/r.git", "https://[redacted]@github.com/o/r.git"),
    ("HTTPS_PROXY=http://me:pw@proxy:3128", "HTTPS_PROXY=http://me:[redacted]@proxy:3128"),
    // Private keys.
    (
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE<60>\n<60>\n-----END RSA PRIVATE KEY-----\nrest",
        "-----BEGIN RSA PRIVATE KEY-----[redacted]-----END RSA PRIVATE KEY-----\nrest",
    ),
    (
        r"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl<60>\n-----END OPENSSH PRIVATE KEY-----\n",
        r"-----BEGIN OPENSSH PRIVATE KEY-----[redacted]-----END OPENSSH PRIVATE KEY-----\n",
    ),
    ("-----BEGIN PRIVATE KEY----- MIIE<60> <20>", "-----BEGIN PRIVATE KEY-----[redacted]"),
    ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nlQ<60>", "-----BEGIN PGP PRIVATE KEY BLOCK-----[redacted]"),
    ("<20>\n<64>\n<30>==\n-----END PRIVATE KEY-----", "[redacted]-----END PRIVATE KEY-----"),
    ("it said: <64>\n<8>\n-----END EC PRIVATE KEY-----", "it said: [redacted]-----END EC PRIVATE KEY-----"),
    ("a sk-ant-api03-<20> b ghp_<20> c", "a sk-ant-[redacted] b ghp_[redacted] c"),
];

#[test]
fn every_kind_of_secret_is_masked() {
    for (said, written) in SECRETS {
        let said = filled(said);
        assert_eq!(redact(&said), written, "{said}");
        assert_eq!(redact(written), written, "masking twice changes nothing");
    }
}

#[test]
fn ordinary_text_stays_as_it_is() {
    for text in [
        "",
        "the bearer of this letter",
        "bearer authentication is not supported",
        "task-ghp_ marker",
        "AKIA",
        "authorization failed",
        "risk-ant-hill",
        "sk-ant-",
        "ключ 🔑",
        "authentication token: invalid or expired",
        "wrong password: required",
        "\"input_tokens\": 12345, \"max_tokens\": 4096",
        "token=1234",
        "password=\"\"",
        "API_KEY=$ANTHROPIC_API_KEY claude",
        "API_KEY=${ANTHROPIC_API_KEY} token={{ secrets.TOKEN }} password=$(cat file)",
        "set ANTHROPIC_API_KEY (or CLAUDE_CODE_OAUTH_TOKEN, from `claude setup-token`) in the environment",
        "PWD=/home/me OLDPWD=/tmp",
        "http://localhost:9091/metrics and https://status.claude.com",
        "ssh://git@github.com/o/r.git, user@host:path",
        "see http://host:8080/a@2x.png",
        "npm_config_registry=https://registry.example npm_lifecycle_event",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
        "commit 8f14e45fceea167a5a36dedd4bea2543 session 01a205af-db6f-776e-90f9-f9fe585382b1",
        "the secret: none; key: value; monkey=banana",
        "a eyJ b eyJx.y c",
    ] {
        assert!(matches!(redact(text), Cow::Borrowed(same) if same == text), "{text}: {}", redact(text));
    }
}

#[test]
fn values_that_we_were_given_are_found_wherever_they_stand() {
    let vars = [
        ("ANTHROPIC_API_KEY", "unlikely-looking value"),
        ("MY_TOKEN", "quote\"and\\slash"),
        ("SHORT_TOKEN", "abc"),
        ("CLAUDE_CODE_MAX_OUTPUT_TOKENS", "32000000000"),
        ("HOME", "/home/somebody"),
    ];
    let redactor = Redactor::of_environment(vars.into_iter());
    for (said, written) in [
        ("it is unlikely-looking value!", "it is [redacted]!"),
        ("xunlikely-looking valuex", "x[redacted]x"),
        (r#"{"a":"quote\"and\\slash"}"#, r#"{"a":"[redacted]"}"#),
        (r#"quote"and\slash"#, "[redacted]"),
        ("cut: unlikely-loo", "cut: [redacted]"),
        ("cut: unlikely-loo…", "cut: [redacted]…"),
        ("abc 32000000000 /home/somebody is not", "abc 32000000000 /home/somebody is not"),
    ] {
        assert_eq!(redactor.redact(said), written);
    }
    assert!(!format!("{redactor:?}").contains("unlikely"));
}

#[test]
fn a_key_over_several_lines_is_masked_in_each_and_what_follows_is_read() {
    let mut lines = Lines::new(Redactor::default());
    let said =
        ["-----BEGIN PRIVATE KEY-----", "MIIEvQ", "", "abc+/=", "-----END PRIVATE KEY-----", "all is well"];
    let written: Vec<String> = said.iter().map(|line| lines.redact(line).into_owned()).collect();
    assert_eq!(written[1..], ["[redacted]", "", "[redacted]", "-----END PRIVATE KEY-----", "all is well"]);
    // A beginning alone does not hide what comes after it.
    lines.redact("-----BEGIN PRIVATE KEY-----");
    assert_eq!(lines.redact("and now, something else"), "and now, something else");
    assert_eq!(lines.redact("word"), "word");
}

/// What would be slow if anything was looked through more than once: each must take about as long as plain text.
#[test]
fn a_quarter_of_a_mebibyte_of_anything_is_read_in_a_moment() {
    let redactor = Redactor::of_environment([("A_TOKEN", "unlikely-looking")].into_iter());
    for piece in [
        "a",
        "eyJ",
        "eyJaaaaaaaaaaaa.",
        "token=",
        "token=[redacted]=",
        "token=${x}=",
        "token='",
        "bearer ",
        "a://",
        "a://a:",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "-----BEGIN ",
        "sk-",
        "ghp_",
        "AKIA",
        "unlikely-",
        "password: \"",
        "=",
        ":",
        "\\\"",
    ] {
        let text = piece.repeat((1 << 18) / piece.len());
        // Of this thread alone: what others do meanwhile is not its time.
        let worked = || nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID.now().unwrap().tv_sec();
        let began = worked();
        redactor.redact(&text);
        assert!(worked() - began < 10, "{piece}: {} s", worked() - began);
    }
}
