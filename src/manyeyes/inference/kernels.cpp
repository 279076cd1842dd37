// Loops of a decode step that libraries are not made for: few rows an expert or head, one query over blocks, short norms.
//
// `kernels.py` compiles this file for the machine at hand and says what each function is given. Vectors are those of
// GCC and Clang, wide as 16 floats, whatever the machine's own are. Sums have a fixed order: however many threads work,
// and whatever else is in the batch, a row's numbers are the same. Two loops that libraries have as well are here for
// that alone (decision 0022): what is left over where a library's vectors do not fit goes through other arithmetic.

#include <cstdint>
#include <cstdlib>
#include <cstring>

typedef float Wide __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t WideInt __attribute__((vector_size(64)));

static const int WIDE = 16;        // floats of a vector
static const int TILE = 2 * WIDE;  // outputs of a packed tile
static const int AHEAD = 2048;     // floats: tiles lie behind each other, and come from memory
static const int MOST = 12;        // rows at a time: 24 sums and what they read fill the registers of AVX-512
static const int HEADS = 4;        // heads at a time

static inline Wide load(const float* at) { return *(const Wide*)at; }
static inline void store(float* at, Wide value) { *(Wide*)at = value; }
static inline Wide all(float value) { return value - Wide{}; }

// e^x for x <= 0 within 2 units in the last place; below -87 it is e^-87, and no number stays no number.
static inline Wide exponential(Wide x) {
    x = x < -87.0f ? all(-87.0f) : x;
    WideInt whole = __builtin_convertvector(x * 1.44269504f - 0.5f, WideInt);
    Wide n = __builtin_convertvector(whole, Wide);
    Wide r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    Wide p = all(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    return p * (Wide)((whole + 127) << 23);
}

// silu(gate) * up.
static inline Wide activated(Wide gate, Wide up) {
    Wide size = exponential(gate < 0.0f ? gate : -gate), one = all(1.0f);
    Wide share = gate < 0.0f ? size / (one + size) : one / (one + size);
    return gate * share * up;
}

typedef float Half __attribute__((vector_size(32)));
typedef float Quarter __attribute__((vector_size(16)));

static inline Half halved(Wide x) {
    return __builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7) +
           __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15);
}

static inline Quarter quartered(Wide x) {
    Half half = halved(x);
    return __builtin_shufflevector(half, half, 0, 1, 2, 3) + __builtin_shufflevector(half, half, 4, 5, 6, 7);
}

static inline float total(Wide x) {
    Quarter four = quartered(x);
    return (four[0] + four[1]) + (four[2] + four[3]);
}

// The sums of four vectors.
static inline Quarter totals(Wide a, Wide b, Wide c, Wide d) {
    Quarter p = quartered(a), q = quartered(b), r = quartered(c), t = quartered(d);
    Quarter pq = __builtin_shufflevector(p, q, 0, 4, 2, 6) + __builtin_shufflevector(p, q, 1, 5, 3, 7);
    Quarter rt = __builtin_shufflevector(r, t, 0, 4, 2, 6) + __builtin_shufflevector(r, t, 1, 5, 3, 7);
    return __builtin_shufflevector(pq, rt, 0, 1, 4, 5) + __builtin_shufflevector(pq, rt, 2, 3, 6, 7);
}

// ---- Experts

// y[R, TILE] = x[R, inner] @ tile[inner, TILE]; x lies turned: [inner, R].
template <int R>
static void rows_of_tile(int64_t inner, const float* tile, const float* turned, float* y, int64_t stride) {
    Wide sum[R][2] = {};
    for (int64_t i = 0; i < inner; i++) {
        __builtin_prefetch(tile + i * TILE + AHEAD);
        __builtin_prefetch(tile + i * TILE + AHEAD + WIDE);
        Wide first = load(tile + i * TILE), second = load(tile + i * TILE + WIDE);
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) {
            float value = turned[i * R + r];
            sum[r][0] += value * first;
            sum[r][1] += value * second;
        }
    }
    for (int r = 0; r < R; r++) {
        store(y + r * stride, sum[r][0]);
        store(y + r * stride + WIDE, sum[r][1]);
    }
}

typedef void (*RowsOfTile)(int64_t, const float*, const float*, float*, int64_t);
static const RowsOfTile ROWS[MOST + 1] = {
    nullptr,         rows_of_tile<1>, rows_of_tile<2>, rows_of_tile<3>,  rows_of_tile<4>,  rows_of_tile<5>, rows_of_tile<6>,
    rows_of_tile<7>, rows_of_tile<8>, rows_of_tile<9>, rows_of_tile<10>, rows_of_tile<11>, rows_of_tile<12>,
};

// How many of the rows from `first` on are taken at a time: nearly equal parts of at most MOST.
static inline int64_t taken(int64_t rows, int64_t first) {
    int64_t parts = (rows - first + MOST - 1) / MOST;
    return (rows - first + parts - 1) / parts;
}

// y[rows, outputs] = x @ packed; a tile is read once for all rows.
static void product(int64_t rows, int64_t inner, int64_t outputs, const float* packed, const float* turned, float* y) {
    for (int64_t at = 0; at < outputs; at += TILE)
        for (int64_t first = 0, r; first < rows; first += r) {
            r = taken(rows, first);
            ROWS[r](inner, packed + at * inner, turned + first * inner, y + first * outputs + at, outputs);
        }
}

extern "C" void experts(int64_t tokens, int64_t width, int64_t hidden, int64_t count, int64_t each, int64_t outputs,
                        const float* x, const int64_t* expert, const float* weight, const float* gate_up,
                        const float* down, float* out, int threads) {
    // hidden: of an expert, padded to half tiles, so that gate and up fill whole tiles; outputs: width padded to tiles.
    int64_t routed = tokens * each;
    int64_t* start = (int64_t*)calloc(count + 1, sizeof(int64_t));
    int64_t* order = (int64_t*)malloc(routed * sizeof(int64_t));
    float* said = (float*)malloc(routed * outputs * sizeof(float));
    for (int64_t m = 0; m < routed; m++) start[expert[m] + 1]++;
    for (int64_t e = 0; e < count; e++) start[e + 1] += start[e];
    int64_t* next = (int64_t*)malloc(count * sizeof(int64_t));
    memcpy(next, start, count * sizeof(int64_t));
    for (int64_t m = 0; m < routed; m++) order[next[expert[m]]++] = m;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (int64_t e = 0; e < count; e++) {
        int64_t rows = start[e + 1] - start[e];
        if (!rows) continue;
        const int64_t* mine = order + start[e];
        float* turned = (float*)malloc(rows * (width + 3 * hidden) * sizeof(float));
        float *both = turned + rows * width, *inside = both + rows * 2 * hidden;
        for (int64_t first = 0, r; first < rows; first += r) {
            r = taken(rows, first);
            for (int64_t i = 0; i < r; i++) {
                const float* from = x + mine[first + i] / each * width;
                for (int64_t d = 0; d < width; d++) turned[first * width + d * r + i] = from[d];
            }
        }
        product(rows, width, 2 * hidden, gate_up + e * 2 * hidden * width, turned, both);
        for (int64_t first = 0, r; first < rows; first += r) {
            r = taken(rows, first);
            for (int64_t i = 0; i < r; i++) {
                float* pair = both + (first + i) * 2 * hidden;
                float by = weight[mine[first + i]];
                for (int64_t d = 0; d < hidden; d += WIDE)
                    store(pair + d, activated(load(pair + d), load(pair + hidden + d)) * by);
                for (int64_t d = 0; d < hidden; d++) inside[first * hidden + d * r + i] = pair[d];
            }
        }
        // What the expert says of its rows stands together, in their order.
        product(rows, hidden, outputs, down + e * hidden * outputs, inside, said + start[e] * outputs);
        free(turned);
    }
    int64_t* place = (int64_t*)malloc(routed * sizeof(int64_t));
    for (int64_t m = 0; m < routed; m++) place[order[m]] = m;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t n = 0; n < tokens; n++)
        for (int64_t k = 0; k < each; k++) {
            const float* from = said + place[n * each + k] * outputs;
            for (int64_t d = 0; d < width; d++) out[n * width + d] += from[d];
        }
    free(place), free(next), free(said), free(order), free(start);
}

// ---- Router

extern "C" void route(int64_t tokens, int64_t width, int64_t count, int64_t padded, int64_t each, int64_t normalise,
                      const float* x, const float* gate, const float* bias, float scale, int64_t* expert,
                      float* weight) {
    float *turned = (float*)malloc(MOST * (width + 2 * padded) * sizeof(float)), *scores = turned + MOST * width;
    for (int64_t first = 0, r; first < tokens; first += r) {
        r = tokens - first < MOST ? tokens - first : MOST;
        for (int64_t i = 0; i < r; i++)
            for (int64_t d = 0; d < width; d++) turned[d * r + i] = x[(first + i) * width + d];
        for (int64_t at = 0; at < padded; at += TILE) ROWS[r](width, gate + at * width, turned, scores + at, padded);
        for (int64_t i = 0; i < r; i++) {
            float *score = scores + i * padded, *key = scores + (MOST + i) * padded, sum = 0.0f;
            for (int64_t e = 0; e < padded; e += WIDE) {
                Wide logit = load(score + e), one = all(1.0f), size = exponential(logit < 0.0f ? logit : -logit);
                store(score + e, logit < 0.0f ? size / (one + size) : one / (one + size));
            }
            for (int64_t e = 0; e < count; e++) key[e] = score[e] + bias[e];
            int64_t* chosen = expert + (first + i) * each;
            float* share = weight + (first + i) * each;
            for (int64_t k = 0; k < each; k++) {
                int64_t best = k;  // where no score is a number, any will do
                float most = -__builtin_inff();
                for (int64_t e = 0; e < count; e++)
                    if (key[e] > most) most = key[e], best = e;
                key[best] = -__builtin_inff();
                chosen[k] = best, share[k] = score[best], sum += score[best];
            }
            for (int64_t k = 0; k < each; k++) share[k] = (normalise ? share[k] / (sum + 1e-20f) : share[k]) * scale;
        }
    }
    free(turned);
}

// ---- A matrix for each head: y[:, g] = x[:, g] @ matrix[g]

extern "C" void grouped(int64_t rows, int64_t groups, int64_t inner, int64_t outputs, int64_t padded, int64_t x_row,
                        int64_t x_group, int64_t y_row, int64_t y_group, const float* x, const float* packed, float* y,
                        int threads) {
    int64_t tiles = padded / TILE;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        float* turned = (float*)malloc(rows * (inner + TILE) * sizeof(float));
        float* said = turned + rows * inner;
        int64_t group = -1;
#pragma omp for schedule(static)
        for (int64_t part = 0; part < groups * tiles; part++) {
            int64_t at = part % tiles * TILE, some = outputs - at < TILE ? outputs - at : TILE;
            if (group != part / tiles) {
                group = part / tiles;
                for (int64_t first = 0, r; first < rows; first += r) {
                    r = taken(rows, first);
                    for (int64_t i = 0; i < r; i++) {
                        const float* from = x + (first + i) * x_row + group * x_group;
                        for (int64_t d = 0; d < inner; d++) turned[first * inner + d * r + i] = from[d];
                    }
                }
            }
            for (int64_t first = 0, r; first < rows; first += r) {
                r = taken(rows, first);
                float* to = y + first * y_row + group * y_group + at;
                const float *tile = packed + (group * padded + at) * inner, *from = turned + first * inner;
                if (some == TILE) {
                    ROWS[r](inner, tile, from, to, y_row);
                    continue;
                }
                ROWS[r](inner, tile, from, said, TILE);
                for (int64_t i = 0; i < r; i++) memcpy(to + i * y_row, said + i * TILE, some * sizeof(float));
            }
        }
        free(turned);
    }
}

// ---- Attention of one query a row

// N vectors of the mixed latents, of HEADS heads.
template <int N>
static void mix(int64_t length, int64_t width, int64_t block_tokens, const float* latents, const int64_t* blocks,
                const float* p, float* mixed, int64_t stride) {
    Wide sum[HEADS][N] = {};
    for (int64_t first = 0, block = 0; first < length; first += block_tokens, block++) {
        const float* at = latents + blocks[block] * block_tokens * width;
        int64_t stop = first + block_tokens < length ? first + block_tokens : length;
        for (int64_t t = first; t < stop; t++, at += width) {
            Wide value[N];
            for (int n = 0; n < N; n++) value[n] = load(at + n * WIDE);
            for (int h = 0; h < HEADS; h++)
                for (int n = 0; n < N; n++) sum[h][n] += p[t * HEADS + h] * value[n];
        }
    }
    for (int h = 0; h < HEADS; h++)
        for (int n = 0; n < N; n++) store(mixed + h * stride + n * WIDE, sum[h][n]);
}

static void attend_heads(int64_t width, int64_t values, int64_t block_tokens, int64_t length, const float* query,
                         const float* latents, const int64_t* blocks, float* mixed, float* p) {
    int64_t whole = width / WIDE * WIDE, filled = (length + 3) / 4 * 4;
    Quarter most = Quarter{} - __builtin_inff();
    for (int64_t first = 0, block = 0; first < length; first += block_tokens, block++) {
        const float* key = latents + blocks[block] * block_tokens * width;
        int64_t stop = first + block_tokens < length ? first + block_tokens : length;
        const float* next = stop < length ? latents + blocks[block + 1] * block_tokens * width : key;
        for (int64_t t = first; t < stop; t++, key += width, next += width) {
            for (int64_t c = 0; c < width; c += WIDE) __builtin_prefetch(next + c);
            Wide sum[HEADS] = {};
            for (int64_t c = 0; c < whole; c += WIDE) {
                Wide k = load(key + c);
                for (int h = 0; h < HEADS; h++) sum[h] += k * load(query + h * width + c);
            }
            Quarter score = totals(sum[0], sum[1], sum[2], sum[3]);
            for (int64_t c = whole; c < width; c++)
                for (int h = 0; h < HEADS; h++) score[h] += key[c] * query[h * width + c];
            memcpy(p + t * HEADS, &score, sizeof(score));
            most = score > most ? score : most;
        }
    }
    for (int64_t i = length * HEADS; i < filled * HEADS; i++) p[i] = -__builtin_inff();
    Wide highest, sums = {};
    for (int i = 0; i < WIDE; i++) highest[i] = most[i % HEADS];
    for (int64_t i = 0; i < filled * HEADS; i += WIDE) {
        Wide e = exponential(load(p + i) - highest);
        if (i + WIDE > length * HEADS)
            for (int64_t j = length * HEADS - i; j < WIDE; j++) e[j] = 0.0f;
        store(p + i, e);
        sums += e;
    }
    float share[HEADS];
    for (int h = 0; h < HEADS; h++) share[h] = 1.0f / (sums[h] + sums[h + 4] + sums[h + 8] + sums[h + 12]);
    int64_t c = 0;
    for (; c + 3 * WIDE <= values; c += 3 * WIDE) mix<3>(length, width, block_tokens, latents + c, blocks, p, mixed + c, values);
    for (; c + WIDE <= values; c += WIDE) mix<1>(length, width, block_tokens, latents + c, blocks, p, mixed + c, values);
    for (int h = 0; h < HEADS; h++) {
        for (int64_t v = c; v < values; v++) {
            float sum = 0.0f;
            for (int64_t t = 0; t < length; t++)
                sum += p[t * HEADS + h] * latents[(blocks[t / block_tokens] * block_tokens + t % block_tokens) * width + v];
            mixed[h * values + v] = sum;
        }
        for (int64_t v = 0; v < values; v++) mixed[h * values + v] *= share[h];
    }
}

extern "C" void attend(int64_t rows, int64_t heads, int64_t width, int64_t values, int64_t block_tokens,
                       int64_t block_row, const float* query, const float* latents, const int64_t* blocks,
                       const int64_t* length, float* mixed, int threads) {
    // block_row: from one row's blocks to the next row's; 0 where all rows are of one sequence.
    int64_t groups = (heads + HEADS - 1) / HEADS;
#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(threads) if (threads > 1)
    for (int64_t row = 0; row < rows; row++)
        for (int64_t group = 0; group < groups; group++) {
            int64_t head = group * HEADS, own = heads - head < HEADS ? heads - head : HEADS;
            const float* from = query + (row * heads + head) * width;
            float* to = mixed + (row * heads + head) * values;
            int64_t padded = own < HEADS ? HEADS * (width + values) : 0;
            float* p = (float*)malloc((((length[row] + 3) / 4 * 4) * HEADS + padded) * sizeof(float));
            float *some = p + (length[row] + 3) / 4 * 4 * HEADS, *said = some + HEADS * width;
            if (padded) {  // a part of a group: heads of zeros fill it
                memset(some, 0, padded * sizeof(float));
                memcpy(some, from, own * width * sizeof(float));
            }
            attend_heads(width, values, block_tokens, length[row], padded ? some : from, latents,
                         blocks + row * block_row, padded ? said : to, p);
            if (padded) memcpy(to, said, own * values * sizeof(float));
            free(p);
        }
}

// ---- Norm

extern "C" void rms_norm(int64_t rows, int64_t width, int64_t stride, const float* x, const float* weight, float eps,
                         float* y, int64_t y_stride) {
    for (int64_t n = 0; n < rows; n++) {
        const float* from = x + n * stride;
        float* to = y + n * y_stride;
        int64_t whole = width / WIDE * WIDE;
        Wide squares = {};
        for (int64_t d = 0; d < whole; d += WIDE) squares += load(from + d) * load(from + d);
        float sum = total(squares);
        for (int64_t d = whole; d < width; d++) sum += from[d] * from[d];
        float by = 1.0f / __builtin_sqrtf(sum / (float)width + eps);
        for (int64_t d = 0; d < width; d++) to[d] = from[d] * by * weight[d];
    }
}

// ---- Between two dense products: y = silu(x[:, :hidden]) * x[:, hidden:]

extern "C" void activate(int64_t rows, int64_t hidden, const float* x, float* y) {
    int64_t whole = hidden / WIDE * WIDE, rest = (hidden - whole) * sizeof(float);
    for (int64_t n = 0; n < rows; n++, x += 2 * hidden, y += hidden) {
        for (int64_t d = 0; d < whole; d += WIDE) store(y + d, activated(load(x + d), load(x + hidden + d)));
        if (!rest) continue;
        Wide gate = {}, up = {};
        memcpy(&gate, x + whole, rest), memcpy(&up, x + hidden + whole, rest);
        gate = activated(gate, up);
        memcpy(y + whole, &gate, rest);
    }
}

// ---- Turned positions: pairs of each head, as complex numbers, times those of their row's position

extern "C" void turn(int64_t rows, int64_t heads, int64_t pairs, int64_t x_row, int64_t x_head, int64_t y_row,
                     int64_t y_head, const float* x, const float* turns, float* y) {
    for (int64_t n = 0; n < rows; n++)
        for (int64_t h = 0; h < heads; h++) {
            const float *from = x + n * x_row + h * x_head, *by = turns + n * 2 * pairs;
            float* to = y + n * y_row + h * y_head;
            for (int64_t i = 0; i < 2 * pairs; i += 2) {  // said which products are rounded, so that all are alike
                float left = from[i + 1] * by[i + 1], right = from[i + 1] * by[i];
                to[i] = __builtin_fmaf(from[i], by[i], -left);
                to[i + 1] = __builtin_fmaf(from[i], by[i + 1], right);
            }
        }
}

// ---- All layers of a step, whose rows each are one token: the functions above, one behind the other

static const int64_t ALONE = 1 << 22;  // as in kernels.py

struct Model {
    int64_t width, heads, nope, rope, latent, value, query_rank;  // query_rank: 0 where queries are not compressed
    int64_t experts, padded_experts, top_k, hidden, padded_width, normalise, block_tokens;
    float eps, lora_eps, scale;
};

struct Layer {  // no router in a dense one; `fed` is the width of its feed-forward, or of the shared expert
    const float *input_norm, *down, *query_norm, *query, *latent_norm, *up_k, *up_v, *out, *feed_norm;
    const float *router, *bias, *gate_up, *routed_down, *fed_in, *fed_out;
    float* latents;
    int64_t* expert;  // where tokens were sent, if asked for
    int64_t fed;
};

struct Group {  // rows from `start` on, whose blocks are `block_row` numbers apart
    int64_t start, rows, block_row;
    const int64_t *blocks, *length;
};

extern "C" int64_t bytes_of(int64_t which) {
    return which == 0 ? sizeof(Model) : which == 1 ? sizeof(Layer) : sizeof(Group);
}

// y = x @ matrix, or one matrix a group.
static void times(int64_t rows, int64_t groups, int64_t inner, int64_t outputs, const float* x, int64_t x_row,
                  int64_t x_group, const float* packed, float* y, int64_t y_row, int64_t y_group, int threads) {
    int64_t padded = (outputs + TILE - 1) / TILE * TILE;
    if (rows * groups * inner * outputs < ALONE) threads = 1;
    grouped(rows, groups, inner, outputs, padded, x_row, x_group, y_row, y_group, x, packed, y, threads);
}

static void add(int64_t count, const float* more, float* x) {
    for (int64_t i = 0; i < count; i++) x[i] += more[i];
}

// Numbers of workspace that attention of a row needs.
static int64_t attention_numbers(const Model& m) {
    int64_t q_width = m.heads * (m.nope + m.rope), first = m.query_rank ? m.query_rank : q_width;
    int64_t cached = m.latent + m.rope;
    return 2 * (first + cached) + q_width + (m.heads + 1) * m.rope + m.heads * (cached + m.latent + m.value);
}

// Rows first_row..first_row + rows of a step: x, h, y and slots are theirs, groups are of all rows.
static void attention(const Model& m, const Layer& layer, int64_t first_row, int64_t rows, const int64_t* slot,
                      const float* turns, int64_t groups, const Group* group, const float* h, float* workspace, float* y,
                      int threads) {
    int64_t head = m.nope + m.rope, q_width = m.heads * head, cached = m.latent + m.rope;
    int64_t first = m.query_rank ? m.query_rank : q_width, down_width = first + cached, turned_row = (m.heads + 1) * m.rope;
    float *down = workspace, *narrow = down + rows * down_width, *q = narrow + rows * first;
    float *turned = q + rows * q_width, *fresh = turned + rows * turned_row, *query = fresh + rows * cached;
    float *mixed = query + rows * m.heads * cached, *values = mixed + rows * m.heads * m.latent;
    times(rows, 1, m.width, down_width, h, m.width, 0, layer.down, down, down_width, 0, threads);
    int64_t q_row = q_width;
    if (m.query_rank) {
        rms_norm(rows, first, down_width, down, layer.query_norm, m.lora_eps, narrow, first);
        times(rows, 1, first, q_width, narrow, first, 0, layer.query, q, q_width, 0, threads);
    } else {
        q = down, q_row = down_width;
    }
    turn(rows, m.heads, m.rope / 2, q_row, head, turned_row, m.rope, q + m.nope, turns, turned);
    turn(rows, 1, m.rope / 2, down_width, 0, turned_row, 0, down + first + m.latent, turns, turned + m.heads * m.rope);
    rms_norm(rows, m.latent, down_width, down + first, layer.latent_norm, m.lora_eps, fresh, cached);
    for (int64_t n = 0; n < rows; n++) {
        memcpy(fresh + n * cached + m.latent, turned + n * turned_row + m.heads * m.rope, m.rope * sizeof(float));
        memcpy(layer.latents + slot[n] * cached, fresh + n * cached, cached * sizeof(float));
    }
    times(rows, m.heads, m.nope, m.latent, q, q_row, head, layer.up_k, query, m.heads * cached, cached, threads);
    for (int64_t n = 0; n < rows; n++)
        for (int64_t a = 0; a < m.heads; a++)
            memcpy(query + (n * m.heads + a) * cached + m.latent, turned + n * turned_row + a * m.rope, m.rope * sizeof(float));
    for (int64_t i = 0; i < groups; i++) {
        const Group& one = group[i];
        int64_t start = one.start > first_row ? one.start : first_row, most = 0;
        int64_t stop = one.start + one.rows < first_row + rows ? one.start + one.rows : first_row + rows;
        if (start >= stop) continue;
        const int64_t *blocks = one.blocks + (start - one.start) * one.block_row, *length = one.length + (start - one.start);
        for (int64_t n = 0; n < stop - start; n++) most = length[n] > most ? length[n] : most;
        attend(stop - start, m.heads, cached, m.latent, m.block_tokens, one.block_row,
               query + (start - first_row) * m.heads * cached, layer.latents, blocks, length,
               mixed + (start - first_row) * m.heads * m.latent,
               (stop - start) * m.heads * cached * most < ALONE ? 1 : threads);
    }
    int64_t v_row = m.heads * m.value;
    times(rows, m.heads, m.latent, m.value, mixed, m.heads * m.latent, m.latent, layer.up_v, values, v_row, m.value, threads);
    times(rows, 1, v_row, m.width, values, v_row, 0, layer.out, y, m.width, 0, threads);
}

static void feed_forward(const Model& m, const Layer& layer, int64_t rows, const float* h, int64_t* expert,
                         float* workspace, float* y, int threads) {
    float *both = workspace, *inside = both + rows * 2 * layer.fed, *weight = inside + rows * layer.fed;
    times(rows, 1, m.width, 2 * layer.fed, h, m.width, 0, layer.fed_in, both, 2 * layer.fed, 0, threads);
    activate(rows, layer.fed, both, inside);
    times(rows, 1, layer.fed, m.width, inside, layer.fed, 0, layer.fed_out, y, m.width, 0, threads);
    if (!layer.router) return;
    route(rows, m.width, m.experts, m.padded_experts, m.top_k, m.normalise, h, layer.router, layer.bias, m.scale, expert,
          weight);
    experts(rows, m.width, m.hidden, m.experts, m.top_k, m.padded_width, h, expert, weight, layer.gate_up,
            layer.routed_down, y, 3 * rows * m.top_k * m.width * m.hidden < ALONE ? 1 : threads);
}

// Some rows through all layers; `sampled` are those of them behind which something is sampled, by their place in the step.
static bool through(const Model& m, int64_t layers, const Layer* layer, int64_t first_row, int64_t rows, float* x,
                    const int64_t* slot, const float* turns, int64_t groups, const Group* group, int64_t samples,
                    int64_t first_sample, const int64_t* sampled, const float* norm, const float* head,
                    int64_t vocabulary, float* scores, int threads) {
    int64_t numbers = attention_numbers(m);
    for (int64_t i = 0; i < layers; i++)
        if (3 * layer[i].fed + m.top_k > numbers) numbers = 3 * layer[i].fed + m.top_k;
    float* h = (float*)malloc((rows * (2 * m.width + numbers) + 1) * sizeof(float));
    int64_t* unasked = (int64_t*)malloc((rows * m.top_k + 1) * sizeof(int64_t));
    bool room = h && unasked;
    float *y = h + rows * m.width, *workspace = y + rows * m.width;
    for (int64_t i = 0; room && i < layers; i++) {
        rms_norm(rows, m.width, m.width, x, layer[i].input_norm, m.eps, h, m.width);
        attention(m, layer[i], first_row, rows, slot, turns, groups, group, h, workspace, y, threads);
        add(rows * m.width, y, x);
        bool last = i == layers - 1;
        if (last) {  // rows behind which nothing is sampled go no further
            for (int64_t n = 0; n < samples; n++)
                memmove(x + n * m.width, x + (sampled[n] - first_row) * m.width, m.width * sizeof(float));
            rows = samples;
        }
        rms_norm(rows, m.width, m.width, x, layer[i].feed_norm, m.eps, h, m.width);
        int64_t* expert = layer[i].expert ? layer[i].expert + (last ? first_sample : first_row) * m.top_k : unasked;
        feed_forward(m, layer[i], rows, h, expert, workspace, y, threads);
        add(rows * m.width, y, x);
    }
    if (room) {
        rms_norm(rows, m.width, m.width, x, norm, m.eps, h, m.width);
        times(rows, 1, m.width, vocabulary, h, m.width, 0, head, scores, vocabulary, 0, threads);
    }
    free(h), free(unasked);
    return room;
}

// Scores behind the rows `sampled`, which ascend; x is overwritten, and so are the latents in the rows' slots. Rows
// bounds[p]..bounds[p + 1] go through all layers by themselves, one thread each; a single part has all threads. 0 where
// there was room for what layers hand to each other.
extern "C" int all_layers(const Model* model, int64_t layers, const Layer* layer, int64_t parts, const int64_t* bounds,
                          float* x, const int64_t* slot, const float* turns, int64_t groups, const Group* group,
                          int64_t samples, const int64_t* sampled, const float* norm, const float* head,
                          int64_t vocabulary, float* scores, int threads) {
    int failed = 0;
#pragma omp parallel for num_threads(parts) schedule(static, 1) reduction(+ : failed) if (parts > 1)
    for (int64_t p = 0; p < parts; p++) {
        int64_t row = bounds[p], stop = bounds[p + 1], from = 0, to = 0;
        while (from < samples && sampled[from] < row) from++;
        for (to = from; to < samples && sampled[to] < stop;) to++;
        failed += !through(*model, layers, layer, row, stop - row, x + row * model->width, slot + row,
                           turns + row * model->rope, groups, group, to - from, from, sampled + from, norm, head,
                           vocabulary, scores + from * vocabulary, parts > 1 ? 1 : threads);
    }
    return failed;
}
