// The kernels of FILIP's tiles without Python, against loops in double. Prints the kernels that ran.
#include "tiles.cpp"

#include <cstdio>
#include <random>
#include <vector>

namespace {

typedef std::vector<float> Numbers;
typedef std::vector<double> Sums;

struct Shape {
    int64_t images, m, n, texts, dim;
};

// As the equations are: into both means and, of their gradients, into both sides' tokens.
void by_loops(const Tile &tile, const Numbers &there, const Numbers &back, const Numbers &left, const Numbers &right,
              Sums &to_text, Sums &to_image, Sums &to_left, Sums &to_right) {
    const int64_t m = tile.m, n = tile.n, texts = tile.texts, dim = tile.dim;
    const auto meet = [&](int64_t image, int64_t text, int64_t rows, int64_t columns, bool turned) {
        for (int64_t row = 0; row < rows; row++) {
            const auto product = [&](int64_t column) {
                const int64_t i = turned ? column : row, j = turned ? row : column;
                return tile.products[((image * m + i) * n + j) * texts + text] + tile.hidden[j * texts + text];
            };
            float best = -INFINITY;
            int equal = 0;
            for (int64_t column = 0; column < columns; column++) {
                equal = product(column) > best ? 1 : equal + (product(column) == best);
                best = product(column) > best ? product(column) : best;
            }
            if (best == -INFINITY) continue;
            const int64_t at = image * texts + text;
            const double share = turned ? tile.of_texts[row * texts + text] : tile.of_images[image * m + row];
            (turned ? to_image : to_text)[at] += share * best;
            for (int64_t column = 0; column < columns; column++) {
                if (product(column) != best) continue;
                const double weight = (turned ? back : there)[at] * share / equal;
                const int64_t i = (image * m + (turned ? column : row)) * dim;
                const int64_t j = ((turned ? row : column) * texts + text) * dim;
                for (int64_t d = 0; d < dim; d++) {
                    to_left[i + d] += weight * right[j + d];
                    to_right[j + d] += weight * left[i + d];
                }
            }
        }
    };
    for (int64_t image = 0; image < tile.images; image++)
        for (int64_t text = 0; text < texts; text++) {
            meet(image, text, m, n, false);
            meet(image, text, n, m, true);
        }
}

bool near(const Numbers &found, const Sums &wanted) {
    for (size_t at = 0; at < found.size(); at++)
        if (!(std::abs(found[at] - wanted[at]) <= 1e-4 * (1 + std::abs(wanted[at])))) return false;
    return found.size() == wanted.size();
}

bool well(const char *kernels, const Shape &shape, std::mt19937 &random) {
    const int64_t pairs = shape.images * shape.texts;
    const auto made = [&](int64_t count, int values) {
        Numbers numbers(count);
        for (auto &one : numbers) one = float(int(random() % values)) - float(values / 2);  // many are equal
        return numbers;
    };
    Numbers products = made(pairs * shape.m * shape.n, 5);
    for (auto &one : products) one = random() % 7 ? one : -INFINITY;
    const Numbers of_images = made(shape.images * shape.m, 9), of_texts = made(shape.n * shape.texts, 9);
    const Numbers there = made(pairs, 9), back = made(pairs, 9);
    const Numbers left = made(shape.images * shape.m * shape.dim, 9), right = made(shape.n * shape.texts * shape.dim, 9);
    Numbers hidden(shape.n * shape.texts);
    for (auto &one : hidden) one = random() % 5 ? 0.0f : -INFINITY;
    const Tile tile{products.data(), hidden.data(), of_images.data(), of_texts.data(), shape.images, shape.m, shape.n, shape.texts, shape.dim};
    Numbers to_text(pairs), to_image(pairs), to_left(left.size()), to_right(right.size());
    Sums texts(pairs), images(pairs), lefts(left.size()), rights(right.size());
    by_loops(tile, there, back, left, right, texts, images, lefts, rights);
    return !retr_tiles_means(kernels, &tile, to_text.data(), to_image.data()) &&
           !retr_tiles_learnt(kernels, &tile, there.data(), back.data(), left.data(), right.data(), to_left.data(),
                              to_right.data()) &&
           near(to_text, texts) && near(to_image, images) && near(to_left, lefts) && near(to_right, rights);
}

}  // namespace

int main() {
    std::mt19937 random(0);
    const Shape shapes[] = {{1, 1, 1, 1, 1}, {3, 4, 5, 16, 8}, {2, 7, 3, 33, 12}, {5, 9, 2, 7, 3}, {1, 50, 6, 20, 64}};
    for (int which = 0; const char *kernels = retr_tiles_kernels(which); which++) {
        for (const auto &shape : shapes)
            if (!well(kernels, shape, random)) return std::fprintf(stderr, "%s is wrong\n", kernels), 1;
        std::printf("%s\n", kernels);
    }
    const Tile none{};
    return retr_tiles_means("none", &none, nullptr, nullptr) == 1 ? 0 : 1;
}
