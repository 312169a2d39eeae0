//! Reads one parsed file into modules. Leaves out what is compiled for tests, when asked to.

use proc_macro2::Ident;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ImplItem, Item, Meta, TraitItem, UseTree, Visibility};

use super::module::{Entry, Form, Mention, Module, Path, Public, PublicKind};
use super::tokens::{self, Named, plain};

/// A child module that has a file of its own.
#[derive(Debug)]
pub(super) struct Declared {
    pub(super) parent: usize,
    pub(super) name: String,
    /// What `#[path]` says.
    pub(super) path: Option<String>,
    pub(super) is_support: bool,
}

/// Goes through a file once, adding to the module it stands in.
pub(super) struct Reader<'m> {
    modules: &'m mut Vec<Module>,
    current: usize,
    keeps_tests: bool,
    /// How many blocks this is inside of: what they define is no part of the module.
    blocks: usize,
    /// The trait that is being implemented, and the function.
    trait_name: Option<String>,
    function: Option<String>,
    /// Whether the next path is the type that an `impl` is for.
    at_implemented: bool,
    declared: Vec<Declared>,
}

/// Adds the content of the file to the module at `current`; returns the child modules it declares.
pub(super) fn read(file: &syn::File, modules: &mut Vec<Module>, current: usize, keeps_tests: bool) -> Vec<Declared> {
    if !keeps_tests && is_test(&file.attrs) {
        return Vec::new();
    }
    let mut reader = Reader {
        modules,
        current,
        keeps_tests,
        blocks: 0,
        trait_name: None,
        function: None,
        at_implemented: false,
        declared: Vec::new(),
    };
    reader.visit_file(file);
    reader.declared
}

impl Reader<'_> {
    fn module(&mut self) -> &mut Module {
        &mut self.modules[self.current]
    }

    fn is_left_out(&self, attributes: &[Attribute]) -> bool {
        !self.keeps_tests && is_test(attributes)
    }

    fn mention(&mut self, (path, line, form): Named) {
        let is_forwarded = self.function.as_deref() == Some(path.name());
        let forwarded_by = self.trait_name.clone().filter(|_| is_forwarded);
        self.module().mentions.push(Mention { path, line, form, forwarded_by });
    }

    fn mention_name(&mut self, ident: &Ident, form: Form) {
        let path = Path { is_absolute: false, segments: vec![plain(ident)] };
        self.mention((path, line_of(ident), form));
    }

    fn define(&mut self, ident: &Ident) {
        if self.blocks == 0 {
            self.module().define(plain(ident), Entry::Item);
        }
    }

    fn publish(&mut self, ident: &Ident, kind: PublicKind, visibility: &Visibility, is_support: bool) {
        if self.blocks == 0 && matches!(visibility, Visibility::Public(_)) {
            let is_support = self.module().is_support || is_support;
            let public = Public { name: plain(ident), kind, line: line_of(ident), is_support };
            self.module().publics.push(public);
        }
    }

    fn item(&mut self, ident: &Ident, visibility: &Visibility, attributes: &[Attribute]) {
        self.define(ident);
        self.publish(ident, PublicKind::Free, visibility, is_support(attributes));
    }

    /// Takes in the leaves of a `use`; `path` is what stands before the tree.
    fn import(&mut self, mut path: Path, tree: &UseTree, form: Form) {
        let (name, ident) = match tree {
            UseTree::Path(inner) => {
                path.segments.push(plain(&inner.ident));
                return self.import(path, &inner.tree, form);
            }
            UseTree::Group(group) => {
                return group.items.iter().for_each(|item| self.import(path.clone(), item, form));
            }
            UseTree::Glob(glob) => {
                self.mention((path.clone(), glob.star_token.spans[0].start().line, form));
                return self.module().globs.push(path);
            }
            UseTree::Name(leaf) => (plain(&leaf.ident), &leaf.ident),
            UseTree::Rename(leaf) => (plain(&leaf.rename), &leaf.ident),
        };
        if ident != "self" || path.segments.is_empty() {
            path.segments.push(plain(ident));
        }
        let name = if name == "self" { path.name().to_owned() } else { name };
        self.mention((path.clone(), line_of(ident), form));
        if name != "_" {
            self.module().define(name, Entry::Import(path));
        }
    }

    /// Reads a function, whose name says what it forwards to.
    fn within(&mut self, ident: &Ident, read: impl FnOnce(&mut Self)) {
        let outer = self.function.replace(plain(ident));
        read(self);
        self.function = outer;
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if self.is_left_out(attributes_of(item)) {
            return;
        }
        match item {
            Item::Const(it) => self.item(&it.ident, &it.vis, &it.attrs),
            Item::Enum(it) => self.item(&it.ident, &it.vis, &it.attrs),
            Item::Fn(it) => self.item(&it.sig.ident, &it.vis, &it.attrs),
            Item::Static(it) => self.item(&it.ident, &it.vis, &it.attrs),
            Item::Struct(it) => self.item(&it.ident, &it.vis, &it.attrs),
            Item::Trait(it) => self.item(&it.ident, &it.vis, &it.attrs),
            Item::Type(it) => self.item(&it.ident, &it.vis, &it.attrs),
            Item::Union(it) => self.item(&it.ident, &it.vis, &it.attrs),
            Item::ExternCrate(it) => self.mention_name(&it.ident, Form::Import),
            Item::Macro(it) => it.ident.iter().for_each(|ident| self.define(ident)),
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        item.attrs.iter().for_each(|attribute| self.visit_attribute(attribute));
        let name = plain(&item.ident);
        let is_support = self.module().is_support || is_support(&item.attrs);
        let Some((_, items)) = &item.content else {
            let path = item.attrs.iter().find_map(path_attribute);
            self.declared.push(Declared { parent: self.current, name, path, is_support });
            return;
        };
        let (parent, place) = (self.current, self.modules.len());
        let folder = format!("{}/{name}", self.module().folder);
        let child = Module::new(&self.modules[parent].file, &folder, Some(parent), is_support);
        self.modules.push(child);
        self.module().define(name, Entry::Module(place));
        self.current = place;
        items.iter().for_each(|item| self.visit_item(item));
        self.current = parent;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let form = if matches!(item.vis, Visibility::Inherited) { Form::Import } else { Form::Reexport };
        let start = Path { is_absolute: item.leading_colon.is_some(), segments: Vec::new() };
        self.import(start, &item.tree, form);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.within(&item.sig.ident, |reader| visit::visit_item_fn(reader, item));
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let name = item.trait_.as_ref().and_then(|(path, _)| path.segments.last());
        let outer = std::mem::replace(&mut self.trait_name, name.map(|segment| plain(&segment.ident)));
        item.attrs.iter().for_each(|attribute| self.visit_attribute(attribute));
        self.visit_generics(&item.generics);
        if let Some((path, _)) = &item.trait_ {
            self.visit_path(path);
        }
        self.at_implemented = true;
        self.visit_type(&item.self_ty);
        self.at_implemented = false;
        item.items.iter().for_each(|item| self.visit_impl_item(item));
        self.trait_name = outer;
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let (attributes, public): (&[Attribute], _) = match item {
            ImplItem::Const(it) => (&it.attrs, Some((&it.ident, &it.vis))),
            ImplItem::Fn(it) => (&it.attrs, Some((&it.sig.ident, &it.vis))),
            ImplItem::Type(it) => (&it.attrs, None),
            _ => (&[], None),
        };
        if self.is_left_out(attributes) {
            return;
        }
        if let Some((ident, visibility)) = public {
            self.publish(ident, PublicKind::Member, visibility, is_support(attributes));
        }
        visit::visit_impl_item(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.within(&item.sig.ident, |reader| visit::visit_impl_item_fn(reader, item));
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        for member in &item.items {
            let (ident, attributes) = match member {
                TraitItem::Fn(it) => (&it.sig.ident, &it.attrs),
                TraitItem::Const(it) => (&it.ident, &it.attrs),
                _ => continue,
            };
            if !self.is_left_out(attributes) {
                let is_support = is_support(&item.attrs) || is_support(attributes);
                self.publish(ident, PublicKind::TraitMember(plain(&item.ident)), &item.vis, is_support);
            }
        }
        visit::visit_item_trait(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if !self.is_left_out(&item.attrs) {
            visit::visit_trait_item_fn(self, item);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !self.is_left_out(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_field_value(&mut self, field: &'ast syn::FieldValue) {
        if !self.is_left_out(&field.attrs) {
            visit::visit_field_value(self, field);
        }
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        if !self.is_left_out(&variant.attrs) {
            visit::visit_variant(self, variant);
        }
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if !self.is_left_out(&arm.attrs) {
            visit::visit_arm(self, arm);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !self.is_left_out(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        self.blocks += 1;
        visit::visit_block(self, block);
        self.blocks -= 1;
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let form = if std::mem::take(&mut self.at_implemented) { Form::Implemented } else { Form::Path };
        if let Some(first) = path.segments.first() {
            let segments = path.segments.iter().map(|segment| plain(&segment.ident)).collect();
            let line = line_of(&first.ident);
            self.mention((Path { is_absolute: path.leading_colon.is_some(), segments }, line, form));
        }
        visit::visit_path(self, path);
    }

    fn visit_qself(&mut self, qself: &'ast syn::QSelf) {
        self.at_implemented = false;
        visit::visit_qself(self, qself);
    }

    fn visit_expr_path(&mut self, expression: &'ast syn::ExprPath) {
        if let (Some(_), Some(last)) = (&expression.qself, expression.path.segments.last()) {
            self.mention_name(&last.ident, Form::Method);
        }
        visit::visit_expr_path(self, expression);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let Expr::Path(function) = &*call.func
            && let Some(ident) = function.path.get_ident()
        {
            self.mention_name(ident, Form::Call);
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.mention_name(&call.method, Form::Method);
        visit::visit_expr_method_call(self, call);
    }

    fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
        // A name in capitals is no new binding but a constant that is compared with.
        if plain(&pattern.ident).starts_with(char::is_uppercase) {
            self.mention_name(&pattern.ident, Form::Path);
        }
        visit::visit_pat_ident(self, pattern);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        tokens::in_macro(call.tokens.clone()).into_iter().for_each(|named| self.mention(named));
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let path = attribute.path();
        if ["doc", "cfg", "expect", "path"].iter().any(|name| path.is_ident(name)) {
            return;
        }
        if let Some(first) = path.segments.first() {
            let segments = path.segments.iter().map(|segment| plain(&segment.ident)).collect();
            self.mention((Path { is_absolute: false, segments }, line_of(&first.ident), Form::Attribute));
        }
        if let Meta::List(list) = &attribute.meta {
            tokens::in_attribute(list.tokens.clone()).into_iter().for_each(|named| self.mention(named));
        }
    }

    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}
}

fn line_of(ident: &Ident) -> usize {
    ident.span().start().line
}

/// What a `cfg` asks for, without spaces.
fn conditions(attributes: &[Attribute]) -> impl Iterator<Item = String> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).filter_map(|attribute| {
        let Meta::List(list) = &attribute.meta else { return None };
        Some(list.tokens.to_string().split_whitespace().collect())
    })
}

fn is_test(attributes: &[Attribute]) -> bool {
    conditions(attributes).any(|condition| condition == "test" || condition.starts_with("all(test"))
}

fn is_support(attributes: &[Attribute]) -> bool {
    conditions(attributes).any(|condition| condition.contains("feature=\"testing\"") && !condition.contains("not("))
}

fn path_attribute(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(value) = &attribute.meta else { return None };
    let Expr::Lit(literal) = &value.value else { return None };
    let syn::Lit::Str(text) = &literal.lit else { return None };
    attribute.path().is_ident("path").then(|| text.value())
}

fn attributes_of(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(it) => &it.attrs,
        Item::Enum(it) => &it.attrs,
        Item::ExternCrate(it) => &it.attrs,
        Item::Fn(it) => &it.attrs,
        Item::ForeignMod(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        Item::Macro(it) => &it.attrs,
        Item::Mod(it) => &it.attrs,
        Item::Static(it) => &it.attrs,
        Item::Struct(it) => &it.attrs,
        Item::Trait(it) => &it.attrs,
        Item::TraitAlias(it) => &it.attrs,
        Item::Type(it) => &it.attrs,
        Item::Union(it) => &it.attrs,
        Item::Use(it) => &it.attrs,
        _ => &[],
    }
}
