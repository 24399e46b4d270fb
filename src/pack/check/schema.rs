//! The JSON Schema in a pack file: a table, or a text that holds JSON. What it means is the CLI's to judge.

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::reader::Reader;

const KEY: &str = "json_schema";

impl Reader<'_> {
    /// The schema as JSON on one line.
    pub(super) fn schema(&mut self) -> Option<String> {
        let value = self.value(KEY)?;
        let schema = match value.get_ref() {
            DeValue::String(text) => match serde_json::from_str(text) {
                Ok(schema @ Value::Object(_)) => schema,
                Ok(_) => return self.wrong(value, "is JSON, and no object"),
                Err(error) => return self.wrong(value, &format!("is no JSON: {error}")),
            },
            DeValue::Table(table) => match object(table) {
                Ok(object) => Value::Object(object),
                Err((at, why)) => {
                    self.fault(&at, format!("`{KEY}`: {why}"), None);
                    return None;
                }
            },
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => {
                self.wrong_kind(KEY, value, "a table, or a text that holds JSON");
                return None;
            }
        };
        if self.value("output").and_then(|it| it.get_ref().as_str()) == Some("text") {
            let hint = "leave `output` out: with a schema it is \"json\"".to_owned();
            let span = self.value("output")?.span();
            self.fault(&span, "`output` is \"text\", and `json_schema` asks for JSON".to_owned(), Some(hint));
        }
        Some(schema.to_string())
    }

    fn wrong(&mut self, value: &Spanned<DeValue<'_>>, why: &str) -> Option<String> {
        let hint = "a table `[json_schema]`, or a text such as '{\"type\": \"object\"}'".to_owned();
        self.fault(&value.span(), format!("`{KEY}` {why}"), Some(hint));
        None
    }
}

type Wrong = (std::ops::Range<usize>, String);

fn object(table: &DeTable<'_>) -> Result<Map<String, Value>, Wrong> {
    let member = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        Ok((key.get_ref().to_string(), json(value)?))
    };
    table.iter().map(member).collect()
}

/// A value as JSON; what JSON cannot say is wrong.
fn json(value: &Spanned<DeValue<'_>>) -> Result<Value, Wrong> {
    let wrong = |why: &str| (value.span(), why.to_owned());
    Ok(match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(is) => Value::Bool(*is),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(Value::from)
            .map_err(|_| wrong("the number is too large"))?,
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map(Value::Number)
            .ok_or_else(|| wrong("JSON has no such number"))?,
        DeValue::Datetime(_) => return Err(wrong("JSON has no dates; write it as a text")),
        DeValue::Array(items) => Value::Array(items.iter().map(json).collect::<Result<_, _>>()?),
        DeValue::Table(table) => Value::Object(object(table)?),
    })
}
