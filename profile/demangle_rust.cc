// SPDX-License-Identifier: Apache-2.0
#include "profile/demangle_rust.h"

#include <algorithm>
#include <cstdint>

namespace sonde {
namespace {

constexpr int kMaxDepth = 100;
constexpr int kMaxSteps = 5000;
constexpr size_t kMaxText = 4096;

const char* BasicType(char tag) {
  switch (tag) {
    case 'a':
      return "i8";
    case 'b':
      return "bool";
    case 'c':
      return "char";
    case 'd':
      return "f64";
    case 'e':
      return "str";
    case 'f':
      return "f32";
    case 'h':
      return "u8";
    case 'i':
      return "isize";
    case 'j':
      return "usize";
    case 'l':
      return "i32";
    case 'm':
      return "u32";
    case 'n':
      return "i128";
    case 'o':
      return "u128";
    case 'p':
      return "_";
    case 's':
      return "i16";
    case 't':
      return "u16";
    case 'u':
      return "()";
    case 'v':
      return "...";
    case 'x':
      return "i64";
    case 'y':
      return "u64";
    case 'z':
      return "!";
    default:
      return nullptr;
  }
}

// Reads the mangled text from left to right and writes as it goes. Whatever goes wrong sets
// failed_, and from then on nothing is read or written.
class Parser {
 public:
  explicit Parser(std::string_view text) : in_(text) {}

  std::optional<std::string> Run() {
    Path(true);
    // The crate that this copy was made for: read over.
    if (!failed_ && at_ < in_.size() && in_[at_] >= 'A' && in_[at_] <= 'Z') {
      muted_ = true;
      Path(false);
    }
    if (failed_ || (at_ < in_.size() && in_[at_] != '.')) return std::nullopt;
    return std::move(out_);
  }

 private:
  struct Identifier {
    std::string_view text;
    uint64_t disambiguator = 0;
    bool punycode = false;
  };

  char Peek() const { return !failed_ && at_ < in_.size() ? in_[at_] : '\0'; }
  char Next() {
    const char c = Peek();
    if (c == '\0') failed_ = true;
    ++at_;
    return c;
  }
  bool Take(char c) {
    if (Peek() != c) return false;
    ++at_;
    return true;
  }
  void Write(std::string_view text) {
    if (failed_ || muted_) return;
    if (out_.size() + text.size() > kMaxText)
      failed_ = true;
    else
      out_ += text;
  }
  void Write(uint64_t number) { Write(std::to_string(number)); }

  // One level deeper, for the life of the object.
  class Level {
   public:
    explicit Level(Parser* parser) : parser_(parser) {
      if (++parser_->depth_ > kMaxDepth || ++parser_->steps_ > kMaxSteps) parser_->failed_ = true;
    }
    ~Level() { --parser_->depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Parser* parser_;
  };

  uint64_t Base62() {
    if (Take('_')) return 0;
    uint64_t value = 0;
    while (!Take('_')) {
      const char c = Next();
      uint64_t digit = 0;
      if (c >= '0' && c <= '9')
        digit = static_cast<uint64_t>(c - '0');
      else if (c >= 'a' && c <= 'z')
        digit = static_cast<uint64_t>(c - 'a') + 10;
      else if (c >= 'A' && c <= 'Z')
        digit = static_cast<uint64_t>(c - 'A') + 36;
      else
        failed_ = true;
      if (failed_ || value > (UINT64_MAX - digit) / 62 - 1) {
        failed_ = true;
        return 0;
      }
      value = value * 62 + digit;
    }
    return value + 1;
  }

  // What follows `tag`, plus one; 0 without the tag.
  uint64_t Optional62(char tag) { return Take(tag) ? Base62() + 1 : 0; }

  uint64_t Decimal() {
    if (Take('0')) return 0;
    uint64_t value = 0;
    if (Peek() < '1' || Peek() > '9') failed_ = true;
    while (Peek() >= '0' && Peek() <= '9') {
      value = value * 10 + static_cast<uint64_t>(Next() - '0');
      if (value > in_.size()) failed_ = true;
    }
    return value;
  }

  Identifier TakeIdentifier() {
    Identifier id;
    id.disambiguator = Optional62('s');
    id.punycode = Take('u');
    const uint64_t length = Decimal();
    Take('_');
    if (failed_ || length > in_.size() - at_) {
      failed_ = true;
      return id;
    }
    id.text = in_.substr(at_, length);
    at_ += length;
    return id;
  }

  void WriteIdentifier(const Identifier& id) {
    if (!id.punycode) return Write(id.text);
    Write("punycode{");
    Write(id.text);
    Write("}");
  }

  // Goes on at an earlier place, then comes back.
  template <typename Read>
  void BackReference(Read read) {
    const size_t from = at_ - 1;
    const uint64_t target = Base62();
    if (failed_ || target >= from) {
      failed_ = true;
      return;
    }
    const size_t back = at_;
    at_ = target;
    read();
    at_ = back;
  }

  void Path(bool in_value) {
    const Level level(this);
    switch (Next()) {
      case 'C':
        return WriteIdentifier(TakeIdentifier());
      case 'N':
        return Nested(in_value);
      case 'M':
        ImplPath();
        Write("<");
        Type();
        return Write(">");
      case 'X':
        ImplPath();
        return AsTrait();
      case 'Y':
        return AsTrait();
      case 'I':
        Path(in_value);
        if (in_value) Write("::");
        Write("<");
        Arguments();
        return Write(">");
      case 'B':
        return BackReference([&] { Path(in_value); });
      default:
        failed_ = true;
    }
  }

  void AsTrait() {
    Write("<");
    Type();
    Write(" as ");
    Path(false);
    Write(">");
  }

  // Where the impl stands: of no interest.
  void ImplPath() {
    const bool was_muted = muted_;
    muted_ = true;
    Optional62('s');
    Path(false);
    muted_ = was_muted;
  }

  void Nested(bool in_value) {
    const char space = Next();
    Path(in_value);
    const Identifier id = TakeIdentifier();
    if (space >= 'a' && space <= 'z') {
      if (id.text.empty()) return;
      Write("::");
      return WriteIdentifier(id);
    }
    if (space < 'A' || space > 'Z') failed_ = true;
    Write("::{");
    if (space == 'C')
      Write("closure");
    else if (space == 'S')
      Write("shim");
    else
      Write(std::string_view(&space, 1));
    if (!id.text.empty()) Write(":");
    WriteIdentifier(id);
    Write("#");
    Write(id.disambiguator);
    Write("}");
  }

  void Arguments() {
    for (bool first = true; !failed_ && !Take('E'); first = false) {
      if (!first) Write(", ");
      if (Take('L'))
        Lifetime(Base62());
      else if (Take('K'))
        Constant();
      else
        Type();
    }
  }

  void Lifetime(uint64_t index) {
    if (index == 0) return Write("'_");
    if (index > bound_) {
      failed_ = true;
      return;
    }
    const uint64_t depth = bound_ - index;
    const char letter = static_cast<char>('a' + depth % 26);
    Write("'");
    Write(std::string_view(&letter, 1));
    if (depth >= 26) Write(depth / 26);
  }

  // "for<'a, 'b> "; returns how many.
  uint64_t Binder() {
    const uint64_t count = Optional62('G');
    if (count > 64) failed_ = true;
    if (failed_ || count == 0) return 0;
    Write("for<");
    for (uint64_t i = 0; i < count; ++i) {
      if (i > 0) Write(", ");
      ++bound_;
      Lifetime(1);
    }
    Write("> ");
    return count;
  }

  void Type() {
    const Level level(this);
    const char tag = Next();
    if (failed_) return;
    if (const char* basic = BasicType(tag)) return Write(basic);
    switch (tag) {
      case 'A':
      case 'S':
        Write("[");
        Type();
        if (tag == 'A') {
          Write("; ");
          Constant();
        }
        return Write("]");
      case 'T':
        return Tuple();
      case 'R':
      case 'Q':
        Write("&");
        if (Take('L')) {
          const uint64_t lifetime = Base62();
          if (lifetime != 0) {
            Lifetime(lifetime);
            Write(" ");
          }
        }
        if (tag == 'Q') Write("mut ");
        return Type();
      case 'P':
        Write("*const ");
        return Type();
      case 'O':
        Write("*mut ");
        return Type();
      case 'F':
        return FunctionType();
      case 'D':
        return DynType();
      case 'B':
        return BackReference([&] { Type(); });
      default:
        --at_;
        return Path(false);
    }
  }

  void Tuple() {
    Write("(");
    int count = 0;
    for (; !failed_ && !Take('E'); ++count) {
      if (count > 0) Write(", ");
      Type();
    }
    Write(count == 1 ? ",)" : ")");
  }

  void FunctionType() {
    const uint64_t lifetimes = Binder();
    if (Take('U')) Write("unsafe ");
    if (Take('K')) Abi();
    Write("fn(");
    for (bool first = true; !failed_ && !Take('E'); first = false) {
      if (!first) Write(", ");
      Type();
    }
    Write(")");
    if (!Take('u')) {
      Write(" -> ");
      Type();
    }
    bound_ -= lifetimes;
  }

  void Abi() {
    Write("extern \"");
    if (Take('C')) {
      Write("C");
    } else {
      std::string name(TakeIdentifier().text);
      for (char& c : name)
        if (c == '_') c = '-';
      Write(name);
    }
    Write("\" ");
  }

  void DynType() {
    Write("dyn ");
    const uint64_t lifetimes = Binder();
    for (bool first = true; !failed_ && !Take('E'); first = false) {
      if (!first) Write(" + ");
      DynTrait();
    }
    bound_ -= lifetimes;
    if (!Take('L')) failed_ = true;
    const uint64_t lifetime = failed_ ? 0 : Base62();
    if (lifetime == 0) return;
    Write(" + ");
    Lifetime(lifetime);
  }

  // A trait with its associated types: "Iterator<Item = u8>" is one list with the generic
  // arguments.
  void DynTrait() {
    bool open = OpenPath();
    while (Take('p')) {
      Write(open ? ", " : "<");
      open = true;
      WriteIdentifier(TakeIdentifier());
      Write(" = ");
      Type();
    }
    if (open) Write(">");
  }

  // As Path(false), but leaves a list of generic arguments open; true if there is one.
  bool OpenPath() {
    const Level level(this);
    if (Take('B')) {
      bool open = false;
      BackReference([&] { open = OpenPath(); });
      return open;
    }
    if (!Take('I')) {
      Path(false);
      return false;
    }
    Path(false);
    Write("<");
    Arguments();
    return true;
  }

  void Constant() {
    const Level level(this);
    if (Take('B')) return BackReference([&] { Constant(); });
    const char type = Next();
    if (type == 'p') return Write("_");
    const bool negative = Take('n');
    const size_t from = at_;
    while (!failed_ && Peek() != '_') Next();
    const std::string_view digits = in_.substr(std::min(from, in_.size()), at_ - from);
    Take('_');
    WriteConstant(type, negative, digits);
  }

  void WriteConstant(char type, bool negative, std::string_view digits) {
    uint64_t value = 0;
    for (const char c : digits) {
      const bool is_digit = c >= '0' && c <= '9';
      if (!is_digit && (c < 'a' || c > 'f')) failed_ = true;
      value = value << 4 | static_cast<uint64_t>(is_digit ? c - '0' : c - 'a' + 10);
    }
    if (type == 'b') return Write(value == 0 ? "false" : "true");
    if (type == 'c') return Character(value);
    if (BasicType(type) == nullptr || type == 'e') failed_ = true;
    if (negative) Write("-");
    if (digits.size() <= 16) return Write(value);
    Write("0x");
    Write(digits);
  }

  void Character(uint64_t value) {
    Write("'");
    if (value >= 0x20 && value < 0x7f) {
      const char c = static_cast<char>(value);
      if (c == '\'' || c == '\\') Write("\\");
      Write(std::string_view(&c, 1));
    } else {
      constexpr char kHex[] = "0123456789abcdef";
      std::string text;
      for (; value != 0; value >>= 4) text.insert(text.begin(), kHex[value & 15]);
      Write("\\u{" + (text.empty() ? "0" : text) + "}");
    }
    Write("'");
  }

  const std::string_view in_;
  size_t at_ = 0;
  std::string out_;
  uint64_t bound_ = 0;  // lifetimes that binders around us have introduced
  int depth_ = 0;
  int steps_ = 0;
  bool muted_ = false;
  bool failed_ = false;
};

}  // namespace

std::optional<std::string> DemangleRust(std::string_view name) {
  if (name.substr(0, 2) != "_R" || name.size() < 4 || name[2] < 'A' || name[2] > 'Z')
    return std::nullopt;
  return Parser(name.substr(2)).Run();
}

}  // namespace sonde
