//! `/v1/openapi.json`: the routes for programs as an OpenAPI 3.1 document, made of the list that makes the routes.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use laguna_base::Tier;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::api::{self, Answers, Route};
use super::{negotiate, problem};

/// Where the document is.
pub(super) const PATH: &str = "/v1/openapi.json";

/// Answers with the document. It tells of routes, not of tables, and needs no login.
pub(super) async fn document() -> Response {
    // The same for the life of the process.
    static TEXT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", describe(&api::routes())));
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}

/// The document of `routes`.
fn describe(routes: &[Route]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = SchemaGenerator::new(settings);
    let failure = generator.subschema_for::<problem::Body<'static>>();
    let mut paths = Map::new();
    for route in routes {
        let operation = operation(route, &mut generator);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Laguna",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Reads of a data lake: statements, tables, releases, runs. Errors are problems (RFC 9457).",
        },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "responses": {
                "Problem": {
                    "description": "What is wrong, and what to do about it.",
                    "content": {problem::MEDIA_TYPE: {"schema": failure}},
                },
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
            },
        },
        // The empty one: a lake without users asks nobody who he is.
        "security": [{"token": []}, {"password": []}, {}],
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = Vec::new();
    for (name, meaning) in route.named {
        let schema = match *name {
            "release" | "other" => json!({"type": "integer", "minimum": 0}),
            "schema" => json!({"type": "string", "enum": Tier::ALL.map(|tier| tier.as_str())}),
            _ => json!({"type": "string", "minLength": 1}),
        };
        parameters.push(
            json!({"name": name, "in": "path", "required": true, "description": meaning, "schema": schema}),
        );
    }
    if let Some(shape) = route.parameters {
        parameters.extend(of_address(&resolved(shape(generator), generator)));
    }
    let content = match &route.answers {
        Answers::Json(shape) => json!({"application/json": {"schema": shape(generator)}}),
        Answers::Text(media_type) => json!({*media_type: {"schema": {"type": "string"}}}),
        Answers::Rows(shape) => {
            let mut content = Map::new();
            for format in negotiate::FORMATS {
                let schema = match format {
                    laguna_query::output::Format::Json => shape(generator).to_value(),
                    _ => json!({}),
                };
                content.insert(negotiate::media_type(format).to_string(), json!({"schema": schema}));
            }
            Value::Object(content)
        }
    };
    let mut operation = json!({
        "operationId": route.id,
        "tags": [route.tag],
        "summary": route.summary,
        "responses": {
            "200": {"description": "What was asked for.", "content": content},
            "default": {"$ref": "#/components/responses/Problem"},
        },
    });
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if let Some(shape) = route.body {
        let schema = shape(generator);
        operation["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": schema}}});
    }
    if !route.login {
        operation["security"] = json!([]);
    }
    operation
}

/// A schema that is only named, as it is written.
fn resolved(schema: Schema, generator: &mut SchemaGenerator) -> Value {
    let value = schema.to_value();
    let name = value.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    match name.and_then(|name| generator.definitions().get(name)) {
        Some(definition) => definition.clone(),
        None => value,
    }
}

/// The fields of a struct as parameters of an address. What may be left out is not null there: it is left out.
fn of_address(schema: &Value) -> Vec<Value> {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let fields = schema["properties"].as_object().into_iter().flatten();
    fields
        .map(|(name, field)| {
            let mut field = field.clone();
            let description = field.as_object_mut().and_then(|field| field.remove("description"));
            if let Some(kind) = field["type"].as_array().and_then(|kinds| kinds.first()).cloned() {
                field["type"] = kind;
            }
            json!({
                "name": name,
                "in": "query",
                "required": required.contains(&name.as_str()),
                "description": description,
                "schema": field,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_tells_of_every_route() {
        let routes = api::routes();
        let document = describe(&routes);
        for route in &routes {
            let operation = &document["paths"][route.path][route.method];
            assert_eq!(operation["operationId"], route.id);
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(parameter["description"].is_string(), "{}: {parameter}", route.id);
                assert!(parameter["schema"]["type"].is_string(), "{}: {parameter}", route.id);
            }
        }
        assert!(document["components"]["schemas"]["Problem"].is_object());
        // Every name that is used is there.
        let text = document.to_string();
        for used in text.split("\"#/components/schemas/").skip(1) {
            let name = used.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
        let filter = document["paths"]["/v1/tables/{schema}/{table}/rows"]["get"]["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .find(|parameter| parameter["name"] == "filter")
            .unwrap();
        assert_eq!(filter["required"], false);
        assert_eq!(filter["schema"]["type"], "array");
    }
}
