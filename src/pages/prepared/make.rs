//! Makes the steps of a page out of its template, as the engine has read it.

use std::borrow::Cow;
use std::collections::HashMap;

use rocket_dyn_templates::tera::ast::{
    Block, Expr, ExprVal, Forloop, FunctionCall, If, LogicExpr, LogicOperator, MacroCall, Node,
    Test,
};
use rocket_dyn_templates::tera::{Map, Template, Tera, Value};

use super::Step;
use super::date::DateFormat;
use super::term::{Condition, Term, equal, is_truthy, push_value};

/// The deepest call of macros within macros. A macro may call itself without an end.
const DEEPEST: usize = 8;

/// The function that always returns the same for a name. What others return may depend on the time.
const ASSET: &str = "asset";

/// Makes the steps of one page. Each method returns `None` if the page has something that cannot be
/// prepared.
pub struct Maker<'t> {
    tera: &'t Tera,
    page: &'t Template,
    known: &'t Map<String, Value>,
}

/// The place in a page, or in a macro that it calls.
struct Place<'t> {
    /// What `set` and the arguments of the macro have named.
    names: HashMap<&'t str, Term>,
    /// The template whose macros are called here. `None`: that is not certain.
    template: Option<&'t Template>,
    /// The file of the macro. `None` in the page itself.
    file: Option<&'t Template>,
    depth: usize,
    /// `true` in a branch that only some requests take.
    is_in_branch: bool,
    /// `true` in a loop, where `loop` is a value of the engine.
    is_in_loop: bool,
}

/// A value, and whether it is escaped where it is printed.
struct Printed {
    value: Term,
    is_escaped: bool,
}

impl<'t> Maker<'t> {
    /// The engine `tera` has read `page`, and each of its requests gets the values `known`.
    pub fn new(tera: &'t Tera, page: &'t Template, known: &'t Map<String, Value>) -> Self {
        Maker { tera, page, known }
    }

    /// Returns the steps of the page.
    pub fn page(&self) -> Option<Vec<Step>> {
        let root = match self.page.parents.last() {
            Some(root) => self.tera.get_template(root).ok()?,
            None => self.page,
        };
        let (mut steps, names) = (Vec::new(), HashMap::new());
        let template = Some(self.page).filter(|page| page.parents.is_empty());
        let mut place =
            Place { names, template, file: None, depth: 0, is_in_branch: false, is_in_loop: false };
        self.add(&root.ast, &mut place, &mut steps)?;
        Some(steps)
    }

    fn add(&self, nodes: &'t [Node], place: &mut Place<'t>, steps: &mut Vec<Step>) -> Option<()> {
        nodes.iter().try_for_each(|node| match node {
            Node::Text(text) | Node::Raw(_, text, _) => {
                push_text(steps, text);
                Some(())
            }
            Node::VariableBlock(_, expression) => self.print(expression, place, steps),
            Node::If(choice, _) => self.choose(choice, 0, place, steps),
            Node::Block(_, block, _) => {
                let (template, body) = self.body(block)?;
                let outside = place.template.replace(template);
                self.add(body, place, steps)?;
                place.template = outside;
                Some(())
            }
            // Only some requests would name something.
            Node::Set(_, set) if !place.is_in_branch && !set.global => {
                let Printed { value, .. } = self.value(&set.value, place)?;
                place.names.insert(&set.key, value);
                Some(())
            }
            Node::Forloop(_, each, _) => self.repeat(each, place, steps),
            Node::Comment(..) | Node::ImportMacro(..) | Node::MacroDefinition(..) => Some(()),
            _ => None,
        })
    }

    /// Returns what stands in `block`, and the template that says so: the page, or the next of its
    /// layouts.
    fn body(&self, block: &Block) -> Option<(&'t Template, &'t [Node])> {
        let layouts = self.page.parents.iter().map(|name| self.tera.get_template(name).ok());
        [Some(self.page)].into_iter().chain(layouts).find_map(|template| {
            let template = template?;
            let (_, block) = template.blocks_definitions.get(&block.name)?.first()?;
            Some((template, block.body.as_slice()))
        })
    }

    fn print(
        &self,
        expression: &'t Expr,
        place: &mut Place<'t>,
        steps: &mut Vec<Step>,
    ) -> Option<()> {
        if let ExprVal::MacroCall(call) = &expression.val {
            let is_bare = expression.filters.is_empty() && !expression.negated;
            return if is_bare { self.call(call, place, steps) } else { None };
        }
        let Printed { value, is_escaped } = self.value(expression, place)?;
        match value {
            Term::Known(value) => {
                let mut text = String::new();
                push_value(&mut text, &value, is_escaped)?;
                push_text(steps, &text);
            }
            value => steps.push(Step::Value { value, is_escaped }),
        }
        Some(())
    }

    /// Adds the branch of `choice` that is taken, from the condition `at` on. If a request decides, it
    /// adds all branches.
    fn choose(
        &self,
        choice: &'t If,
        at: usize,
        place: &mut Place<'t>,
        steps: &mut Vec<Step>,
    ) -> Option<()> {
        let Some((_, condition, body)) = choice.conditions.get(at) else {
            return match &choice.otherwise {
                Some((_, body)) => self.add(body, place, steps),
                None => Some(()),
            };
        };
        match self.condition(condition, place)? {
            Condition::Known(true) => self.add(body, place, steps),
            Condition::Known(false) => self.choose(choice, at + 1, place, steps),
            condition => {
                let (mut then, mut otherwise) = (Vec::new(), Vec::new());
                let was_in_branch = std::mem::replace(&mut place.is_in_branch, true);
                self.add(body, place, &mut then)?;
                self.choose(choice, at + 1, place, &mut otherwise)?;
                place.is_in_branch = was_in_branch;
                steps.push(Step::Choice { condition, then, otherwise });
                Some(())
            }
        }
    }

    /// Adds a loop over a list that is known, as that of the providers is, or over a map that is
    /// always empty, as that of the errors is.
    fn repeat(
        &self,
        each: &'t Forloop,
        place: &mut Place<'t>,
        steps: &mut Vec<Step>,
    ) -> Option<()> {
        let list = match self.value(&each.container, place)?.value {
            Term::Known(Value::Array(list)) if each.key.is_none() => list,
            Term::Known(Value::Object(map)) if each.key.is_some() && map.is_empty() => Vec::new(),
            _ => return None,
        };
        if let (true, Some(body)) = (list.is_empty(), &each.empty_body) {
            return self.add(body, place, steps);
        }
        for value in list {
            // What one round names is not there in the next one, nor after the loop.
            let mut names = place.names.clone();
            names.insert(&each.value, Term::Known(value));
            let Place { template, file, depth, is_in_branch, .. } = *place;
            let mut inside = Place { names, template, file, depth, is_in_branch, is_in_loop: true };
            self.add(&each.body, &mut inside, steps)?;
        }
        Some(())
    }

    /// Adds what the macro prints.
    fn call(&self, call: &'t MacroCall, place: &Place<'t>, steps: &mut Vec<Step>) -> Option<()> {
        let template = place.template?;
        let file = match (call.namespace.as_str(), place.file) {
            ("self", Some(file)) if template.macros.is_empty() => file,
            (namespace, _) => {
                let mut imports = template.imported_macro_files.iter();
                let (file, _) = imports.find(|(_, name)| name == namespace)?;
                self.tera.get_template(file).ok()?
            }
        };
        let definition = file.macros.get(&call.name).filter(|_| place.depth < DEEPEST)?;
        let arguments = definition.args.iter().map(|(name, default)| {
            let argument = call.args.get(name).or(default.as_ref())?;
            Some((name.as_str(), self.value(argument, place)?.value))
        });
        let names = arguments.collect::<Option<_>>()?;
        let depth = place.depth + 1;
        let (template, file) = (place.template, Some(file));
        let (is_in_branch, is_in_loop) = (false, false);
        let mut inside = Place { names, template, file, depth, is_in_branch, is_in_loop };
        self.add(&definition.body, &mut inside, steps)
    }

    fn value(&self, expression: &'t Expr, place: &Place<'t>) -> Option<Printed> {
        let (value, is_escaped) = match &expression.val {
            ExprVal::String(text) => (Term::Known(Value::from(text.as_str())), true),
            ExprVal::Int(number) => (Term::Known(Value::from(*number)), false),
            ExprVal::Bool(holds) => (Term::Known(Value::from(*holds)), false),
            ExprVal::Ident(name) => (self.named(name, place)?, true),
            ExprVal::FunctionCall(call) if call.name == ASSET => {
                let asset = self.tera.get_function(ASSET).ok()?;
                let value = asset.call(&self.arguments(call, place)?).ok()?;
                (Term::Known(value), !asset.is_safe())
            }
            ExprVal::StringConcat(parts) => {
                let parts = parts.values.iter().map(|part| self.part(part, place));
                (Term::Known(Value::from(parts.collect::<Option<String>>()?)), false)
            }
            // A negated one would be negated twice.
            ExprVal::Logic(_) | ExprVal::Test(_)
                if !expression.negated && expression.filters.is_empty() =>
            {
                (self.condition(expression, place)?.into_term(), false)
            }
            _ => return None,
        };
        let mut printed = Printed { value, is_escaped };
        for filter in &expression.filters {
            printed = self.filter(printed, filter, place)?;
        }
        match expression.negated {
            false => Some(printed),
            true => {
                let value = truthy(printed.value).not().into_term();
                Some(Printed { value, is_escaped: false })
            }
        }
    }

    /// Returns the value with this name, such as `user.email`.
    fn named(&self, name: &str, place: &Place<'t>) -> Option<Term> {
        // A value in brackets is looked up by another one.
        if name.contains('[') {
            return None;
        }
        let mut path = name.split('.');
        let first = path.next()?;
        if place.is_in_loop && first == "loop" {
            return None;
        }
        let root = match (place.names.get(first), self.known.get(first)) {
            (Some(term), _) => Cow::Borrowed(term),
            (None, Some(value)) => Cow::Owned(Term::Known(value.clone())),
            (None, None) => Cow::Owned(Term::Given(vec![first.to_owned()])),
        };
        match root.into_owned() {
            Term::Known(value) => {
                let value = path.try_fold(&value, |value, name| value.get(name))?.clone();
                Some(Term::Known(value))
            }
            Term::Given(mut whole) => {
                whole.extend(path.map(str::to_owned));
                Some(Term::Given(whole))
            }
            term => path.next().is_none().then_some(term),
        }
    }

    /// Returns a part of a text that is put together with `~`.
    fn part(&self, part: &ExprVal, place: &Place<'t>) -> Option<String> {
        let value = match part {
            ExprVal::String(text) => return Some(text.clone()),
            ExprVal::Ident(name) => self.named(name, place)?,
            _ => return None,
        };
        match value {
            Term::Known(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns the arguments of a filter or a function, if they are known.
    fn arguments(
        &self,
        call: &'t FunctionCall,
        place: &Place<'t>,
    ) -> Option<HashMap<String, Value>> {
        let known =
            call.args.iter().map(|(name, argument)| match self.value(argument, place)?.value {
                Term::Known(value) => Some((name.clone(), value)),
                _ => None,
            });
        known.collect()
    }

    fn filter(
        &self,
        printed: Printed,
        call: &'t FunctionCall,
        place: &Place<'t>,
    ) -> Option<Printed> {
        // These two are no filters for the engine, and our pages need neither.
        if ["safe", "default"].contains(&call.name.as_str()) {
            return None;
        }
        let filter = self.tera.get_filter(&call.name).ok()?;
        let (is_escaped, arguments) = (!filter.is_safe(), self.arguments(call, place)?);
        let value = match printed.value {
            Term::Known(value) => Term::Known(filter.filter(&value, &arguments).ok()?),
            value => {
                let format = DateFormat::of(&arguments).filter(|_| call.name == "date");
                let (value, filter) = (Box::new(value), call.name.clone());
                match format {
                    Some(format) => Term::Date { value, format },
                    None => Term::Filtered { value, filter, arguments },
                }
            }
        };
        Some(Printed { value, is_escaped })
    }

    fn condition(&self, expression: &'t Expr, place: &Place<'t>) -> Option<Condition> {
        let is_bare = expression.filters.is_empty();
        let condition = match &expression.val {
            ExprVal::Logic(logic) if is_bare => self.logic(logic, place)?,
            ExprVal::Test(test) if is_bare => Condition::Known(self.test(test, place)?),
            ExprVal::Bool(holds) if is_bare => Condition::Known(*holds),
            // With `not` before it, it is such a value already.
            ExprVal::Ident(_) => return Some(truthy(self.value(expression, place)?.value)),
            _ => return None,
        };
        Some(if expression.negated { condition.not() } else { condition })
    }

    fn logic(&self, logic: &'t LogicExpr, place: &Place<'t>) -> Option<Condition> {
        use Condition::{Both, Either, Equal, Known};

        let both = || -> Option<[Term; 2]> {
            Some([self.value(&logic.lhs, place)?.value, self.value(&logic.rhs, place)?.value])
        };
        Some(match logic.operator {
            LogicOperator::And | LogicOperator::Or => {
                let is_and = logic.operator == LogicOperator::And;
                match self.condition(&logic.lhs, place)? {
                    // The first one decides.
                    Known(holds) if holds != is_and => Known(holds),
                    Known(_) => self.condition(&logic.rhs, place)?,
                    one => match self.condition(&logic.rhs, place)? {
                        Known(holds) if holds != is_and => Known(holds),
                        Known(_) => one,
                        other if is_and => Both(Box::new(one), Box::new(other)),
                        other => Either(Box::new(one), Box::new(other)),
                    },
                }
            }
            LogicOperator::Eq | LogicOperator::NotEq => {
                let equal = match both()? {
                    [Term::Known(one), Term::Known(other)] => Known(equal(&one, &other)?),
                    [one, other] => Equal(one, other),
                };
                if logic.operator == LogicOperator::Eq { equal } else { equal.not() }
            }
            LogicOperator::Gt | LogicOperator::Gte | LogicOperator::Lt | LogicOperator::Lte => {
                let [Term::Known(Value::Number(one)), Term::Known(Value::Number(other))] = both()?
                else {
                    return None;
                };
                let (one, other) = (one.as_f64()?, other.as_f64()?);
                Known(match logic.operator {
                    LogicOperator::Gt => one > other,
                    LogicOperator::Gte => one >= other,
                    LogicOperator::Lt => one < other,
                    _ => one <= other,
                })
            }
        })
    }

    /// Returns what a test says of a value that is known.
    fn test(&self, test: &'t Test, place: &Place<'t>) -> Option<bool> {
        let known = |value| match value {
            Term::Known(value) => Some(value),
            _ => None,
        };
        let value = known(self.named(&test.ident, place)?)?;
        let arguments = test.args.iter().map(|argument| known(self.value(argument, place)?.value));
        let arguments: Vec<Value> = arguments.collect::<Option<_>>()?;
        let holds = self.tera.get_tester(&test.name).ok()?.test(Some(&value), &arguments).ok()?;
        Some(holds != test.negated)
    }
}

impl Condition {
    fn into_term(self) -> Term {
        match self {
            Condition::Known(holds) => Term::Known(Value::Bool(holds)),
            condition => Term::Whether(Box::new(condition)),
        }
    }
}

fn truthy(value: Term) -> Condition {
    match value {
        Term::Known(value) => Condition::Known(is_truthy(&value)),
        Term::Whether(condition) => *condition,
        value => Condition::Truthy(value),
    }
}

/// Adds `text` to the text before it, if there is one.
fn push_text(steps: &mut Vec<Step>, text: &str) {
    match steps.last_mut() {
        Some(Step::Text(before)) => before.push_str(text),
        _ if text.is_empty() => {}
        _ => steps.push(Step::Text(text.to_owned())),
    }
}
